"""The blob store, on a folder and on S3."""

import errno
import io
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud_hub.blobs import folder as folder_module
from cloud_hub.blobs.capability import Capabilities
from cloud_hub.blobs.folder import FolderBlobs
from cloud_hub.blobs.s3 import S3Blobs
from cloud_hub.blobs.store import Blobs, full_disk_is_said
from cloud_hub.errors import DiskFull, Forbidden, Invalid, NotFound, TooLarge, Unavailable
from tests.cloud_hub.blobs.conftest import MAX_BYTES, digest_of
from tests.fakes.clock import StoppedClock
from tests.fakes.s3 import S3

CONTENT = bytes(range(256)) * 8000
DIGEST = digest_of(CONTENT)


def chunks(content: bytes = CONTENT, size: int = 65_536) -> Iterator[bytes]:
    stream = io.BytesIO(content)
    return iter(lambda: stream.read(size), b"")


def test_what_was_put_is_read_again(blobs: Blobs) -> None:
    blob = blobs.put(DIGEST, chunks())
    assert (blob.digest, blob.size_bytes) == (DIGEST, len(CONTENT))
    assert blobs.size(DIGEST) == len(CONTENT)
    assert b"".join(blobs.read(DIGEST)) == CONTENT
    with blobs.path_or_temp(DIGEST) as path:
        assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 5), (100, 1_500_000), (len(CONTENT) - 1, None), (7, None)])
def test_a_part_is_read(blobs: Blobs, start: int, end: int | None) -> None:
    blobs.put(DIGEST, chunks())
    assert b"".join(blobs.read(DIGEST, start, end)) == CONTENT[start:end]


def test_the_same_blob_again_changes_nothing(blobs: Blobs) -> None:
    assert blobs.put(DIGEST, chunks()) == blobs.put(DIGEST, chunks())


def test_bytes_with_another_digest_are_refused_and_not_kept(blobs: Blobs) -> None:
    with pytest.raises(Invalid) as raised:
        blobs.put(DIGEST, chunks(CONTENT[:-1] + b"x"))
    assert raised.value.code == "digest-wrong"
    assert blobs.size(DIGEST) is None


def test_a_blob_under_way_is_not_there_yet_and_leaves_nothing_when_it_breaks_off(
    folder_blobs: FolderBlobs, tmp_path: Path
) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT[:1000]
        assert folder_blobs.size(DIGEST) is None
        raise ConnectionError

    with pytest.raises(ConnectionError):
        folder_blobs.put(DIGEST, broken())
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_more_than_the_most_is_refused_before_it_fills_the_disk(blobs: Blobs) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1_000_000
            yield bytes(1_000_000)

    with pytest.raises(TooLarge):
        blobs.put(DIGEST, endless())
    assert taken <= MAX_BYTES + 1_000_000


def test_a_blob_that_is_not_there_is_not_found(blobs: Blobs) -> None:
    assert blobs.size(DIGEST) is None
    with pytest.raises(NotFound):
        blobs.read(DIGEST)
    with pytest.raises(NotFound), blobs.path_or_temp(DIGEST):
        pass


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "md5:" + "a" * 64, "sha256:" + "A" * 64, "sha256:../../../etc/passwd"]
)
def test_what_is_no_digest_names_no_file(blobs: Blobs, digest: str) -> None:
    for use in (
        blobs.size,
        blobs.read,
        lambda one: blobs.put(one, chunks()),
        lambda one: blobs.url(one, datetime.now(UTC)),
    ):
        with pytest.raises(Invalid):
            use(digest)


def test_a_full_disk_is_said_and_leaves_nothing(
    folder_blobs: FolderBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_module.os, "fsync", full)
    with pytest.raises(DiskFull) as raised:
        folder_blobs.put(DIGEST, chunks())
    assert raised.value.code == "disk-full"
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_what_the_kernel_says_of_a_full_disk_is_understood() -> None:
    device = Path("/dev/full")  # the kernel's own
    with pytest.raises(DiskFull), full_disk_is_said(DIGEST, device), device.open("wb", buffering=0) as file:
        file.write(CONTENT)


def test_what_a_killed_hub_left_half_way_is_cleared_away(capabilities: Capabilities, tmp_path: Path) -> None:
    left_over = tmp_path / "blobs" / "incoming" / "tmp123"
    left_over.parent.mkdir(parents=True)
    left_over.write_bytes(b"half")
    FolderBlobs(tmp_path / "blobs", capabilities, MAX_BYTES)
    assert not left_over.exists()


def test_a_bucket_that_is_not_there_is_unavailable(s3: S3, clock: StoppedClock) -> None:
    nowhere = S3Blobs("no-such-bucket", "", clock, MAX_BYTES, endpoint_url=s3.endpoint)
    with pytest.raises(Unavailable) as raised:
        nowhere.put(DIGEST, chunks())
    assert raised.value.code == "blobs-unavailable"


def test_a_presigned_url_reads_the_blob(s3: S3) -> None:
    # The signature carries the time, so this one needs the true clock.
    blobs = S3Blobs(s3.bucket, "p", lambda: datetime.now(UTC), MAX_BYTES, endpoint_url=s3.endpoint)
    blobs.put(DIGEST, chunks())
    url = blobs.url(DIGEST, datetime.now(UTC) + timedelta(days=30))
    assert "X-Amz-Expires=604800" in url, "AWS allows seven days and no more"
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == CONTENT


def test_a_capability_is_good_for_its_blob_until_it_expires(capabilities: Capabilities, clock: StoppedClock) -> None:
    expires_at = clock() + timedelta(seconds=10)
    url = capabilities.url(DIGEST, expires_at)
    expires, signature = int(expires_at.timestamp()), url.rpartition("signature=")[2]
    capabilities.check(DIGEST, expires, signature, clock())
    for digest, until, proof, code in [
        (digest_of(b"another"), expires, signature, "url-wrong"),
        (DIGEST, expires + 1, signature, "url-wrong"),
        (DIGEST, expires, signature[:-1] + "g", "url-wrong"),
        (DIGEST, expires, "é", "url-wrong"),
    ]:
        with pytest.raises(Forbidden) as raised:
            capabilities.check(digest, until, proof, clock())
        assert raised.value.code == code
    with pytest.raises(Forbidden) as raised:
        capabilities.check(DIGEST, expires, signature, clock() + timedelta(seconds=10))
    assert raised.value.code == "url-expired"
    with pytest.raises(Forbidden):
        Capabilities(b"another secret").check(DIGEST, expires, signature, clock())

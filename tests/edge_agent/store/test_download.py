"""Downloads over real sockets: cut off, resumed, lied to, called off."""

import hashlib
import socket
import threading
import time
from pathlib import Path

import pytest

from edge_agent.failures import TryLater
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.disk import Disk
from edge_agent.store.download import CalledOff, Download
from tests.fakes.blob_server import BlobServer, serving
from tests.fakes.full_disk import FullDisk
from tests.fakes.releases import blob_of

DATA = bytes(range(256)) * 1024
BLOB = blob_of(DATA)


def strong(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


@pytest.fixture
def server():
    with serving({BLOB.digest: DATA}) as server:
        server.etag = strong
        yield server


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path, Disk())


def download(server: BlobServer, store: ArtifactStore) -> Download:
    return Download(f"{server.url}/blobs/{BLOB.digest}?signature=1", BLOB, store)


def cut_off(server: BlobServer, store: ArtifactStore, after: int) -> None:
    server.cut_after = after
    with pytest.raises(TryLater) as caught:
        download(server, store).run()
    assert caught.value.code == "broken-off"
    server.cut_after = None


def assert_whole(store: ArtifactStore) -> None:
    store.verify(BLOB)
    assert store.path(BLOB.digest).read_bytes() == DATA


def test_brings_all_bytes(server: BlobServer, store: ArtifactStore) -> None:
    download(server, store).run()
    assert store.is_whole(BLOB)
    assert not store.is_verified(BLOB)
    assert_whole(store)
    assert store.is_verified(BLOB)


def test_is_not_repeated_when_the_bytes_are_there(server: BlobServer, store: ArtifactStore) -> None:
    download(server, store).run()
    download(server, store).run()
    assert len(server.asked) == 1


def test_goes_on_where_it_was_cut_off(server: BlobServer, store: ArtifactStore) -> None:
    cut_off(server, store, after=1000)
    cut_off(server, store, after=500)
    download(server, store).run()
    assert [one.range for one in server.asked] == ["", "bytes=1000-", "bytes=1500-"]
    assert {one.if_range for one in server.asked} == {"", strong(DATA)}
    assert_whole(store)


def test_goes_on_without_an_etag_too(server: BlobServer, store: ArtifactStore) -> None:
    server.etag = None
    cut_off(server, store, after=1000)
    download(server, store).run()
    assert server.asked[-1].range == "bytes=1000-"
    assert_whole(store)


def test_starts_again_when_the_file_on_the_server_is_another(server: BlobServer, store: ArtifactStore) -> None:
    server.blobs[BLOB.digest] = b"x" * len(DATA)
    cut_off(server, store, after=1000)
    server.blobs[BLOB.digest] = DATA
    download(server, store).run()
    assert_whole(store)


def test_says_that_it_starts_again_when_the_server_ignores_ranges_and_has_no_tag(
    server: BlobServer, store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    server.ranges, server.etag = False, None
    cut_off(server, store, after=1000)
    download(server, store).run()
    assert "the 1000 bytes" in caplog.text
    assert_whole(store)


def test_skips_what_has_come_when_the_server_ignores_ranges(
    server: BlobServer, store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    server.ranges = False
    cut_off(server, store, after=1000)
    download(server, store).run()
    assert not caplog.records
    assert_whole(store)


def test_starts_again_when_the_server_gives_another_range(server: BlobServer, store: ArtifactStore) -> None:
    cut_off(server, store, after=1000)
    server.content_range = f"bytes 7-{len(DATA) - 1}/{len(DATA)}"
    download(server, store).run()
    assert_whole(store)


def test_starts_again_when_the_servers_file_has_become_shorter(server: BlobServer, store: ArtifactStore) -> None:
    server.etag = None
    cut_off(server, store, after=1000)
    server.blobs[BLOB.digest] = DATA[:900]
    with pytest.raises(TryLater, match="has 900 bytes") as caught:
        download(server, store).run()
    assert caught.value.code == "size-wrong"
    assert [one.range for one in server.asked] == ["", "bytes=1000-", ""]


def test_follows_a_redirect(server: BlobServer, store: ArtifactStore) -> None:
    server.redirects[f"/blobs/{BLOB.digest}"] = f"/elsewhere/{BLOB.digest}"
    download(server, store).run()
    assert_whole(store)


def test_does_not_follow_redirects_for_ever(server: BlobServer, store: ArtifactStore) -> None:
    server.redirects[f"/blobs/{BLOB.digest}"] = f"/blobs/{BLOB.digest}"
    with pytest.raises(TryLater, match="leads on and on") as caught:
        download(server, store).run()
    assert caught.value.code == "hub-failed"


def test_takes_an_answer_that_does_not_name_its_length(server: BlobServer, store: ArtifactStore) -> None:
    server.length = False
    download(server, store).run()
    assert_whole(store)


@pytest.mark.parametrize("length", [True, False])
def test_does_not_take_more_than_the_manifest_names(server: BlobServer, store: ArtifactStore, length: bool) -> None:
    server.length = length
    server.blobs[BLOB.digest] = DATA + b"more"
    with pytest.raises(TryLater) as caught:
        download(server, store).run()
    assert caught.value.code == "size-wrong"
    assert not store.is_whole(BLOB)
    server.blobs[BLOB.digest] = DATA
    download(server, store).run()
    assert_whole(store)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "artifact-forbidden"),
        (403, "artifact-forbidden"),
        (404, "artifact-missing"),
        (410, "artifact-missing"),
        (429, "hub-busy"),
        (500, "hub-failed"),
        (503, "hub-busy"),
        (204, "hub-failed"),
    ],
)
def test_names_what_the_server_answers(server: BlobServer, store: ArtifactStore, status: int, code: str) -> None:
    server.status = status
    with pytest.raises(TryLater) as caught:
        download(server, store).run()
    assert caught.value.code == code
    assert str(status) in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "/blobs/1", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "http://[", "http://h:port/"]
)
def test_says_so_when_the_link_is_none(store: ArtifactStore, url: str) -> None:
    with pytest.raises(TryLater) as caught:
        Download(url, BLOB, store).run()
    assert caught.value.code == "url-wrong"


def test_says_so_when_nobody_listens(store: ArtifactStore) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(TryLater, match=f"127.0.0.1:{port} does not answer") as caught:
        Download(f"http://127.0.0.1:{port}/blobs/1", BLOB, store).run()
    assert caught.value.code == "hub-unreachable"


def test_says_so_when_what_listens_does_not_speak_tls(server: BlobServer, store: ArtifactStore) -> None:
    with pytest.raises(TryLater) as caught:
        Download(server.url.replace("http://", "https://") + "/blobs/1", BLOB, store).run()
    assert caught.value.code == "hub-unreachable"


def test_called_off_ends_at_once_even_when_the_server_says_nothing(server: BlobServer, store: ArtifactStore) -> None:
    server.stall_after = 1000
    it = download(server, store)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            it.run()
        except CalledOff as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert server.stalled.wait(90)
    began = time.monotonic()
    it.call_off()
    thread.join(90)
    # It would be given up after 20 s.
    assert time.monotonic() - began < 15
    assert len(ended) == 1
    server.stall_after = None
    download(server, store).run()
    assert_whole(store)


def test_called_off_before_it_began_writes_nothing(server: BlobServer, store: ArtifactStore, tmp_path: Path) -> None:
    it = download(server, store)
    it.call_off()
    with pytest.raises(CalledOff):
        it.run()
    assert not list(tmp_path.iterdir())


def test_does_not_begin_what_would_not_fit(server: BlobServer, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, FullDisk(1024 * 1024))
    with pytest.raises(TryLater, match="are to come, 1048576 are free") as caught:
        download(server, store).run()
    assert caught.value.code == "disk-full"
    assert not server.asked


def test_stops_when_the_disk_fills_up_and_goes_on_when_it_has_room(server: BlobServer, tmp_path: Path) -> None:
    disk = FullDisk(100_000, claims_room=True)
    store = ArtifactStore(tmp_path, disk)
    with pytest.raises(TryLater) as caught:
        download(server, store).run()
    assert caught.value.code == "disk-full"
    disk.room_bytes = None
    download(server, store).run()
    assert server.asked[-1].range.startswith("bytes=")
    assert_whole(store)


def test_what_a_power_cut_left_of_an_etag_is_not_sent_to_the_server(server: BlobServer, store: ArtifactStore) -> None:
    cut_off(server, store, 100_000)
    (tag,) = store.path(BLOB.digest).parent.glob("*.etag")
    for left in (b"\0" * 34, b"\xff\xfe", b""):
        tag.write_bytes(left)
        with store.part(BLOB) as part:
            assert part.etag == ""
    download(server, store).run()
    assert_whole(store)

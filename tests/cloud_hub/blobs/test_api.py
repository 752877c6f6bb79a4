"""Blobs over HTTP, on a folder and on S3."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.blobs import api
from cloud_hub.blobs.capability import Capabilities
from cloud_hub.blobs.store import Blobs
from cloud_hub.errors import DiskFull
from fleet_contract.manifest import Blob
from tests.cloud_hub.blobs.conftest import MAX_BYTES, digest_of
from tests.fakes.clock import StoppedClock

CONTENT = b"0123456789" * 100_000
DIGEST = digest_of(CONTENT)


@pytest.fixture
def client(blobs: Blobs, capabilities: Capabilities, clock: StoppedClock) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(api.router(blobs, MAX_BYTES), prefix="/api/v1")
    app.include_router(api.downloads(blobs, capabilities, clock))
    problems.install(app)
    with TestClient(app) as client:
        yield client


@pytest.fixture
def url(client: TestClient, capabilities: Capabilities, clock: StoppedClock) -> str:
    """Where the blob, which is there, may be read."""
    assert client.put(f"/api/v1/blobs/{DIGEST}", content=CONTENT).status_code == 201
    return capabilities.url(DIGEST, clock() + timedelta(hours=1))


def test_an_upload_is_kept(client: TestClient, blobs: Blobs) -> None:
    answer = client.put(f"/api/v1/blobs/{DIGEST}", content=iter([CONTENT[:7], CONTENT[7:]]))
    assert answer.status_code == 201
    assert answer.json() == {"digest": DIGEST, "size_bytes": len(CONTENT)}
    assert blobs.size(DIGEST) == len(CONTENT)


def test_an_upload_with_a_flipped_bit_is_refused(client: TestClient, blobs: Blobs) -> None:
    flipped = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    answer = client.put(f"/api/v1/blobs/{DIGEST}", content=flipped)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "digest-wrong"
    assert digest_of(flipped) in answer.json()["detail"]
    assert blobs.size(DIGEST) is None


def test_an_upload_that_is_too_large_is_refused_by_its_header_alone(client: TestClient) -> None:
    answer = client.put(f"/api/v1/blobs/{DIGEST}", content=b"", headers={"content-length": str(MAX_BYTES + 1)})
    assert (answer.status_code, answer.json()["code"]) == (413, "blob-too-large")


def test_a_full_disk_is_answered_507(client: TestClient, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_digest: str, _chunks: Iterator[bytes]) -> Blob:
        raise DiskFull("There is no room.")

    monkeypatch.setattr(blobs, "put", full)
    answer = client.put(f"/api/v1/blobs/{DIGEST}", content=CONTENT)
    assert (answer.status_code, answer.json()["code"]) == (507, "disk-full")


def test_a_download_brings_the_bytes_and_their_tag(client: TestClient, url: str) -> None:
    answer = client.get(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["etag"] == f'"{DIGEST}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(CONTENT))


def test_head_brings_the_headers_alone(client: TestClient, url: str) -> None:
    answer = client.head(url)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(CONTENT))


def test_a_download_goes_on_where_it_broke_off(client: TestClient, url: str) -> None:
    answer = client.get(url, headers={"Range": "bytes=999990-", "If-Range": f'"{DIGEST}"'})
    assert (answer.status_code, answer.content) == (206, b"0123456789")
    assert answer.headers["content-range"] == f"bytes 999990-999999/{len(CONTENT)}"


def test_a_range_of_something_else_brings_all(client: TestClient, url: str) -> None:
    answer = client.get(url, headers={"Range": "bytes=10-", "If-Range": '"another"'})
    assert (answer.status_code, len(answer.content)) == (200, len(CONTENT))


def test_a_range_behind_the_end_is_answered_416(client: TestClient, url: str) -> None:
    answer = client.get(url, headers={"Range": f"bytes={len(CONTENT)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_who_has_it_is_told_so(client: TestClient, url: str) -> None:
    assert client.get(url, headers={"If-None-Match": f'"x", "{DIGEST}"'}).status_code == 304


def test_nothing_is_read_without_a_good_url(client: TestClient, url: str, clock: StoppedClock) -> None:
    assert client.get(f"/blobs/{DIGEST}").status_code == 422
    assert client.get(url[:-1] + ("0" if url[-1] != "0" else "1")).json()["code"] == "url-wrong"
    clock.pass_seconds(3600)
    answer = client.get(url)
    assert (answer.status_code, answer.json()["code"]) == (403, "url-expired")


def test_a_good_url_of_a_blob_that_is_gone_is_not_found(
    client: TestClient, capabilities: Capabilities, clock: StoppedClock
) -> None:
    answer = client.get(capabilities.url(digest_of(b"gone"), clock() + timedelta(hours=1)))
    assert (answer.status_code, answer.json()["code"]) == (404, "blob-unknown")

"""Both kinds of blob store."""

import hashlib
from pathlib import Path

import pytest

from cloud_hub.blobs.capability import Capabilities
from cloud_hub.blobs.folder import FolderBlobs
from cloud_hub.blobs.s3 import S3Blobs
from cloud_hub.blobs.store import Blobs
from tests.fakes.clock import StoppedClock
from tests.fakes.s3 import S3

MAX_BYTES = 4_000_000


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def capabilities() -> Capabilities:
    return Capabilities(b"k" * 32)


@pytest.fixture
def folder_blobs(tmp_path: Path, capabilities: Capabilities) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs", capabilities, MAX_BYTES)


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, clock: StoppedClock) -> Blobs:
    """Each test that asks runs on a folder and on S3."""
    if request.param == "folder":
        found: FolderBlobs = request.getfixturevalue("folder_blobs")
        return found
    s3: S3 = request.getfixturevalue("s3")
    return S3Blobs(s3.bucket, "some/prefix", clock, MAX_BYTES, endpoint_url=s3.endpoint)

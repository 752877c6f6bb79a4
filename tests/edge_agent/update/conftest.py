"""The hub's blobs, as a device downloads them."""

from collections.abc import Iterator

import pytest

from tests.fakes.blob_server import BlobServer, serving


@pytest.fixture
def server() -> Iterator[BlobServer]:
    """One that has none yet."""
    with serving() as server:
        yield server

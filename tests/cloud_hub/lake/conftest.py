"""What tests of the lake stand on: a place in a folder and one on S3."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_hub.lake.location import Location
from cloud_hub.lake.rows import PARTITION
from cloud_hub.lake.schema import SCHEMA, TABLE
from cloud_hub.lake.table import LakeTable
from tests.fakes.s3 import S3


@pytest.fixture(params=["folder", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """The place of an empty table; each test that asks runs in a local folder and on S3."""
    if request.param == "folder":
        return Location.of(str(tmp_path / "lake"), TABLE)
    s3: S3 = request.getfixturevalue("s3")
    return Location.of(f"{s3.url}/a/prefix", TABLE, s3.endpoint)


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    """The place of an empty table in a local folder."""
    return Location.of(str(tmp_path / "lake"), TABLE)


@pytest.fixture
def open_table() -> Callable[[Location], LakeTable]:
    """Opens a table as another process would."""
    return lambda location: LakeTable(location, SCHEMA, PARTITION)

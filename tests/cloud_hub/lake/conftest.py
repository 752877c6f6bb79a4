"""What tests of the lake stand on: a place in a folder and one on S3, windows, and rows of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from cloud_hub.lake.location import Location
from cloud_hub.lake.schema import PARTITION, SCHEMA, TABLE, Origin, Row, rows_table
from cloud_hub.lake.table import LakeTable
from fleet_contract.telemetry import Window
from tests.fakes.s3 import S3

NOW = datetime(2026, 11, 2, 12, 0, 0, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32


def window(sequence: int = 1, *, started_at: datetime = NOW, **changes: object) -> Window:
    """A window of the model digits, version 1, of ten seconds and ten records."""
    started_at_ms = int(started_at.timestamp() * 1000)
    fields: dict[str, object] = {
        "sequence": sequence,
        "model": "digits",
        "version": 1,
        "digest": DIGEST,
        "started_at_ms": started_at_ms,
        "ended_at_ms": started_at_ms + 10_000,
        "count": 10,
        "errors": 1,
        "latency": {100: 6, 120: 4},
        "predictions": {"3": 7, "8": 3},
        "confidence": (0, 4, 6),
        "features": {"image.mean": (1, 9), "image.std": (10, 0)},
        "error_codes": {"output-shape": 1},
    }
    return Window(**{**fields, **changes})  # type: ignore[arg-type]  # a test may ask for what no type allows


def rows(*sequences: int, device: str = "gateway-1", boot: str = "b0", now: datetime = NOW) -> pa.Table:
    """Rows of one boot."""
    origin = Origin("cpu-vnni", {"site": "north", "line": "4"})
    return rows_table([Row("default", device, boot, origin, window(one)) for one in sequences], now)


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

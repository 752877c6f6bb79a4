"""Windows and samples as devices send them, and rows of the lake made of them."""

from datetime import UTC, datetime

import pyarrow as pa

from cloud_hub.lake.rows import Origin, Row
from cloud_hub.lake.schema import rows_table
from fleet_contract.telemetry import Sample, Window

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


def sample(sequence: int = 1, **changes: object) -> Sample:
    """A record of the model digits, version 1, that a device has kept, and knows no more of than it must."""
    fields: dict[str, object] = {
        "sequence": sequence,
        "at_ms": int(NOW.timestamp() * 1000),
        "model": "digits",
        "version": 1,
        "digest": DIGEST,
        "reason": "random",
        "capture": "cd" * 32,
        "size_bytes": 1_204,
    }
    return Sample(**{**fields, **changes})  # type: ignore[arg-type]  # a test may ask for what no type allows


def rows(*sequences: int, device: str = "gateway-1", boot: str = "b0", now: datetime = NOW) -> pa.Table:
    """Rows of one boot."""
    origin = Origin("cpu-vnni", {"site": "north", "line": "4"})
    return rows_table([Row("default", device, boot, origin, window(one)) for one in sequences], now)

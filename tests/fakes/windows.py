"""Windows of telemetry for tests that care for their count and not for their content."""

from fleet_contract.telemetry import Window


def a_window(count: int = 1, *, version: int = 1, labels: int = 3) -> Window:
    """A window that the spool has not numbered yet; `labels` makes it larger."""
    return Window(
        sequence=0,
        model="digits",
        version=version,
        digest="sha256:" + "0" * 64,
        started_at_ms=1_000,
        ended_at_ms=2_000,
        count=count,
        errors=0,
        latency={10: count},
        predictions={f"label-{number}": count for number in range(labels)},
        confidence=(0, count),
    )

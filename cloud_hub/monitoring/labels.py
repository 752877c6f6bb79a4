"""True labels that arrive late: from a person, a laboratory, a line's end test. They are evidence as windows are.

A row is kept as a window of its device in which nothing was answered and so many records were labelled. So all that
reads windows reads it too, and it is forgotten with them.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime

from cloud_hub.database import Database
from cloud_hub.devices import store as devices
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.monitoring import store
from cloud_hub.monitoring.tables import LabelReport
from cloud_hub.monitoring.views import LabelRow, LabelsIn, LabelsView
from cloud_hub.releases import store as releases
from fleet_contract.telemetry import Window

#: No device names a boot so: a colon is refused at the door.
_BOOT = "labels:"


class LabelService:
    """Thread-safe. `now` gives aware UTC datetimes."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def take(self, model: str, said: LabelsIn, key: str, by: str) -> LabelsView:
        """Counts `said`, all of it or nothing, and once however often it is sent under this `key`.

        Raises `NotFound` for a model, version or device that is not known, `Conflict` for another content under a key
        that was used before.
        """
        digest = hashlib.sha256(f"{model} {said.model_dump_json()}".encode()).hexdigest()
        report = LabelReport(key=key, model=model, digest=digest, rows=len(said.rows), by=by, received_at=self._now())
        with self._database.session() as session:
            releases.model(session, model)
            for version in {row.version for row in said.rows}:
                releases.version(session, model, version)
            for device in {row.device for row in said.rows}:
                if devices.find(session, device) is None:
                    raise NotFound(
                        f"There is no device {device!r}.", "`vedette devices list` shows all.", code="device-unknown"
                    )
            before = store.keep_report(session, report)
            if before is not None:
                if before.digest != digest:
                    raise Conflict(
                        f"The key {key} was used for other labels, at {before.received_at:%Y-%m-%d %H:%M:%S} UTC.",
                        "Name each request with a key of its own.",
                        code="key-reused",
                    )
                return LabelsView(counted=0, repeated=before.rows)
            store.insert(session, [_arrived(row, model, number, report) for number, row in enumerate(said.rows, 1)])
        return LabelsView(counted=len(said.rows), repeated=0)


def _arrived(row: LabelRow, model: str, number: int, report: LabelReport) -> store.Arrived:
    window = Window(
        sequence=number,
        model=model,
        version=row.version,
        digest="",
        started_at_ms=int(row.since.timestamp() * 1000),
        ended_at_ms=int(row.until.timestamp() * 1000),
        count=0,
        errors=0,
        latency={},
        predictions={},
        confidence=(),
        slot=row.slot,
        labelled=row.labelled,
        correct=row.correct,
    )
    return store.Arrived(row.device, f"{_BOOT}{report.key}", report.received_at, window)

"""The end of the demo: what ran where, what the lake holds, and whether every claim of the story is true."""

import time
from collections import defaultdict

from fleet_client.demo.claims import check
from fleet_client.demo.fleet import Fleet
from fleet_client.demo.stage import Stage
from fleet_client.demo.story import MODEL, Told
from fleet_client.demo.summary import DeviceLine, RolloutLine, Summary
from fleet_client.views import Rollout

SQL = """\
SELECT device, version, sum(count) AS records, sum(errors) AS errors,
       round(avg(latency_p50_us)) AS median_us, round(epoch(max(ended_at) - min(started_at))) AS seconds
FROM windows GROUP BY device, version ORDER BY version, device"""


def summarise(fleet: Fleet, told: Told, started: float) -> Summary:
    """Asks hub and lake how it was. `started` is on the monotonic clock."""
    client = fleet.client
    claims = check(client, told)
    found = client.lake.query(SQL)
    records: dict[str, dict[str, int]] = defaultdict(dict)
    for device, version, count, *_ in found.rows:
        records[device][str(version)] = int(count)
    devices = tuple(
        DeviceLine(
            device.id,
            device.labels,
            device.target,
            device.presence,
            model.running.version if (model := device.model(MODEL)) and model.running else None,
            records[device.id],
        )
        for device in client.devices.all()
    )
    return Summary(
        ok=all(claim.holds for claim in claims),
        seconds=round(time.monotonic() - started, 1),
        hub=fleet.url,
        data=str(fleet.folder),
        devices=devices,
        rollouts=tuple(_line(fleet, rollout) for rollout in (told.first, told.second)),
        sql=SQL,
        columns=tuple(column.name for column in found.columns),
        rows=found.rows,
        claims=claims,
    )


def _line(fleet: Fleet, rollout: Rollout) -> RolloutLine:
    decisions = fleet.client.rollouts.decisions(rollout.id, limit=500).items
    return RolloutLine(
        rollout.id,
        rollout.version,
        rollout.state,
        rollout.because.code,
        rollout.because.sentence,
        max((one.counts.offered for one in decisions), default=0),
    )


def show(stage: Stage, summary: Summary) -> None:
    """The summary for people."""
    stage.say("")
    stage.say("What ran where", "bold")
    for device in summary.devices:
        labels = " ".join(f"{key}={value}" for key, value in sorted(device.labels.items()))
        counts = ", ".join(f"{count:,} by version {version}" for version, count in sorted(device.records.items()))
        stage.say(f"{device.device:<14} {labels:<18} {device.target:<9} runs version {device.running}: {counts}")
    stage.say("")
    stage.say("What the lake holds", "bold")
    for line in summary.sql.splitlines():
        stage.say(f"sql> {line}", "dim")
    for line in _aligned([list(summary.columns), *([str(cell) for cell in row] for row in summary.rows)]):
        stage.say(line)
    stage.say("")
    stage.say("What became of the versions", "bold")
    for rollout in summary.rollouts:
        stage.say(f"version {rollout.version} {rollout.state}: {rollout.sentence}")
    stage.say("")
    stage.say("The story, checked", "bold")
    for claim in summary.claims:
        mark, style = ("yes", "green") if claim.holds else ("NO ", "bold red")
        stage.say(f"{mark}  {claim.claim} ({claim.found})", style)
    stage.say("")
    verdict = "Everything went as it should" if summary.ok else "The story is not true"
    stage.say(f"{verdict}, {summary.seconds:.0f} s after the start.", "bold green" if summary.ok else "bold red")


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

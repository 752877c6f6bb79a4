"""What the story claims, checked afterwards against what the hub's API and its lake say."""

import re
from collections.abc import Sequence

from fleet_client import Client
from fleet_client.demo.gateway import TARGETS
from fleet_client.demo.story import MODEL, POLICY, Told
from fleet_client.demo.summary import Claim
from fleet_client.views import Decision, Device

WINDOWS_ONCE = "SELECT count(*) AS windows, count(DISTINCT (device, boot, sequence)) AS names FROM windows"
BY_DEVICE = "SELECT device, version, sum(count) AS records FROM windows GROUP BY ALL"
#: Version 2 predicts other labels than version 1, and wrong ones: either gate may be the first to tell.
_GATES = ("gate-predictions-failed", "gate-accuracy-failed")


def check(client: Client, told: Told) -> tuple[Claim, ...]:
    """All claims, in the order of the story."""
    devices = {device.id: device for device in client.devices.all()}
    first = client.rollouts.decisions(told.first.id, limit=500).items
    second = client.rollouts.decisions(told.second.id, limit=500).items
    records = {(str(device), int(version)): int(count) for device, version, count in client.lake.query(BY_DEVICE).rows}
    return (
        _fleet(told, devices),
        _targets(told),
        _good(told),
        _waves(told, first),
        _evidence(first),
        _worse(told),
        _stopped(told, second),
        _reason(told),
        _back(told, devices),
        _all_reported(told, records),
        _only_canary(told, records),
        _exactly_once(client),
        _healthy(client),
    )


def _fleet(told: Told, devices: dict[str, Device]) -> Claim:
    wrong = [
        gateway.name
        for gateway in told.gateways
        if (device := devices.get(gateway.name)) is None
        or device.presence != "online"
        or device.target != gateway.target
        or device.labels != dict(gateway.labels)
    ]
    return Claim(
        f"{len(told.gateways)} agents joined and are online, with their labels and hardware targets",
        not wrong and len(devices) == len(told.gateways),
        f"wrong: {', '.join(wrong)}" if wrong else f"{len(devices)} devices as they should be",
    )


def _targets(told: Told) -> Claim:
    built = [artifact.target for artifact in told.good.artifacts]
    return Claim(
        "version 1 has an artifact for each hardware target", set(built) == set(TARGETS), f"built: {', '.join(built)}"
    )


def _good(told: Told) -> Claim:
    least = min(artifact.accuracy for artifact in told.good.artifacts)
    return Claim("version 1 reads at least 95 % of held-out scans", least >= 0.95, f"{least:.1%}")


def _waves(told: Told, decisions: Sequence[Decision]) -> Claim:
    opened = sorted({one.wave for one in decisions if one.because.code == "wave-opened"})
    # A wave that would add no device opens with the one after it: with two devices, half of them are the canaries.
    offered = [one.counts.offered for one in reversed(decisions)]
    return Claim(
        "version 1 reached all devices, in waves that began with the canaries",
        told.first.state == "completed"
        and opened[:1] == [0]
        and told.first.counts.succeeded == len(told.gateways)
        and offered == sorted(offered),
        f"{told.first.state}; waves opened: {', '.join(str(wave + 1) for wave in opened)}; "
        f"{told.first.counts.succeeded} devices run it",
    )


def _evidence(decisions: Sequence[Decision]) -> Claim:
    # What a wave had seen is in the decision that ended it: the next one's opening, or the completion.
    ends = [
        one for one in decisions if (one.because.code == "wave-opened" and one.wave > 0) or one.state == "completed"
    ]
    seen = [one.evidence.wave_records for one in ends]
    wanted = POLICY["minimum_records"]
    assert isinstance(wanted, int)
    return Claim(
        f"each wave waited for its evidence: {wanted} records and every gate passed",
        bool(ends)
        and all(count >= wanted for count in seen)
        and all(one.gates and all(gate.verdict == "pass" for gate in one.gates) for one in ends),
        f"records in the waves: {', '.join(str(count) for count in reversed(seen)) or 'none'}",
    )


def _worse(told: Told) -> Claim:
    best = max(artifact.accuracy for artifact in told.worse.artifacts)
    return Claim("version 2 is plainly worse, and whole: it passed admission", best < 0.6, f"accuracy {best:.1%}")


def _canaries(told: Told) -> int:
    return len({gateway.target for gateway in told.gateways})


def _stopped(told: Told, decisions: Sequence[Decision]) -> Claim:
    most = max((one.counts.offered for one in decisions), default=0)
    last = max((one.wave for one in decisions), default=-1)
    return Claim(
        "version 2 was stopped at the canaries, one of each hardware target, and reverted",
        told.second.state == "reverted" and last == 0 and 0 < most <= _canaries(told),
        f"{told.second.state} in wave {last + 1}; it was offered to {most} device{'' if most == 1 else 's'}",
    )


def _reason(told: Told) -> Claim:
    because = told.second.because
    numbers = re.findall(r"\d+(?:\.\d+)?", because.sentence)
    return Claim(
        "the reason is what it predicts, in a sentence with numbers",
        because.code in _GATES and len(numbers) >= 2,
        f"{because.code}, {len(numbers)} numbers",
    )


def _back(told: Told, devices: dict[str, Device]) -> Claim:
    running = {
        name: model.running.version if (model := device.model(MODEL)) and model.running else None
        for name, device in devices.items()
    }
    wrong = [gateway.name for gateway in told.gateways if running.get(gateway.name) != told.good.version]
    return Claim(
        "every device runs version 1 in the end",
        not wrong,
        ", ".join(f"{name} runs {running.get(name)}" for name in wrong) or f"{len(told.gateways)} devices do",
    )


def _all_reported(told: Told, records: dict[tuple[str, int], int]) -> Claim:
    found = {gateway.name: records.get((gateway.name, told.good.version), 0) for gateway in told.gateways}
    return Claim(
        "the lake holds records of version 1 from every device",
        all(found.values()),
        f"{sum(found.values()):,} records, at least {min(found.values()):,} a device",
    )


def _only_canary(told: Told, records: dict[tuple[str, int], int]) -> Claim:
    saw = sorted(device for (device, version), count in records.items() if version == told.worse.version and count)
    return Claim(
        "only the canaries ever ran version 2",
        0 < len(saw) <= _canaries(told),
        f"the lake has records of it from {', '.join(saw) or 'nobody'}",
    )


def _exactly_once(client: Client) -> Claim:
    windows, names = client.lake.query(WINDOWS_ONCE).rows[0]
    return Claim(
        "each window of telemetry is in the lake exactly once",
        windows == names > 0,
        f"{windows:,} windows, {names:,} names",
    )


def _healthy(client: Client) -> Claim:
    health = client.health()
    listed = [device for device in client.devices.all() if device.troubles or device.refused]
    dropped = sum(device.spool.dropped for device in client.devices.all() if device.spool)
    said = [str(one) for one in health.troubles] + [f"{d.id}: {(*d.troubles, d.refused)}" for d in listed]
    return Claim(
        "nothing was dropped or refused, and nobody is in trouble",
        health.status == "ok" and not listed and not dropped,
        "; ".join(said) or f"hub {health.status}, {dropped} windows dropped",
    )

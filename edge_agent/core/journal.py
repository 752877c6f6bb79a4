"""What a device remembers of one model: what is wanted, what runs, and how far the one is from being the other."""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

import msgspec

from fleet_contract.because import Because
from fleet_contract.desired import DEFAULT_SLOT
from fleet_contract.manifest import Manifest
from fleet_contract.report import ModelReport, Phase, Release
from fleet_contract.window import MaintenanceWindow


def key(model: str, slot: str) -> str:
    """What names a model's slot on this device, in files and logs: "digits", "digits@shadow".

    No model's name has an @, so no two slots share a key.
    """
    return model if slot == DEFAULT_SLOT else f"{model}@{slot}"


def split(name: str) -> tuple[str, str]:
    """The model and the slot that the key `name` is of."""
    model, _, slot = name.partition("@")
    return model, slot or DEFAULT_SLOT


class Order(msgspec.Struct, frozen=True, tag="order"):
    """A release to run, with all that carrying it out needs: its verified manifest, and where its bytes are.

    Two orders with the same manifest are the same order: URLs, reasons and the window in which it may be switched to
    are renewed without a change of mind. But one with a higher `retry` asks to try again what was rejected.
    """

    manifest: Manifest
    artifact_url: str
    golden_url: str
    because: Because
    rollout: str | None = None
    retry: int = 0
    window: MaintenanceWindow | None = None


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """An assignment that this device does not follow, and why."""

    release: Release
    because: Because
    rollout: str | None = None


class Journal(msgspec.Struct, frozen=True):
    """All that must outlive the process.

    `settled` is the release that proved itself and `previous` the one before it; both stay on disk. What no process
    lives to tell is counted: `wanted_ends` and `settled_ends` are the bad ends, weighted, of processes that `wanted`
    or `settled` was at risk in, and the two flags say that it is at risk in the process that wrote this. `damaged` is
    how often the bytes of `wanted` were wrong, `usual_errors` the share, 0 to 1, of records that failed before the
    switch, and `retry` the number of the last new try that was asked for.

    `preflighted`: what is wanted has passed its pre-flight and was put away again, to wait for its maintenance window.
    `admitted`: it was switched to already, or was what ran when it was asked for: bringing it back is a repair, which
    waits for no window.
    """

    model: str
    phase: Phase
    because: Because
    since: datetime
    wanted: Order | Refused | None = None
    settled: Manifest | None = None
    previous: Manifest | None = None
    wanted_ends: int = 0
    settled_ends: int = 0
    wanted_at_risk: bool = False
    settled_at_risk: bool = False
    damaged: int = 0
    usual_errors: float = 0.0
    retry: int = 0
    slot: str = DEFAULT_SLOT
    preflighted: bool = False
    admitted: bool = False

    @property
    def key(self) -> str:
        return key(self.model, self.slot)


def fresh(name: str, now: datetime) -> Journal:
    """The journal of the key `name`, which this device has never run."""
    model, slot = split(name)
    return Journal(model, Phase.IDLE, Because("not-wanted", f"Nothing has asked for {name} yet."), now, slot=slot)


def release_of(manifest: Manifest) -> Release:
    return Release(manifest.version, manifest.artifact.digest)


def current(journal: Journal) -> Manifest | None:
    """What should answer now: the release on trial, or else the settled one."""
    if journal.phase is Phase.TRIAL and isinstance(journal.wanted, Order):
        return journal.wanted.manifest
    return journal.settled


def manifests(journal: Journal) -> list[Manifest]:
    """Of all releases that the journal names."""
    wanted = journal.wanted.manifest if isinstance(journal.wanted, Order) else None
    return [one for one in (wanted, journal.settled, journal.previous) if one is not None]


def kept(journals: Iterable[Journal]) -> frozenset[str]:
    """The digests that must stay on disk: all else may go."""
    manifests: list[Manifest] = []
    for journal in journals:
        manifests += [one for one in (journal.settled, journal.previous) if one is not None]
        if isinstance(journal.wanted, Order) and journal.phase is not Phase.REJECTED:
            manifests.append(journal.wanted.manifest)
    return frozenset(blob.digest for one in manifests for blob in (one.artifact, one.golden.blob))


def proven(journals: Iterable[Journal]) -> frozenset[str]:
    """Of `kept`, the digests that no new order may cost: what answers, and what it would fall back on."""
    manifests = [one for it in journals for one in (current(it), it.settled, it.previous) if one is not None]
    return frozenset(blob.digest for one in manifests for blob in (one.artifact, one.golden.blob))


def closed(journal: Journal) -> Journal:
    """The journal after an orderly stop: what was cut short by it is not the model's fault."""
    return msgspec.structs.replace(journal, wanted_at_risk=False, settled_at_risk=False)


def _wanted(wanted: Order | Refused | None) -> Release | None:
    match wanted:
        case Order():
            return release_of(wanted.manifest)
        case Refused():
            return wanted.release
        case None:
            return None
    assert_never(wanted)


def reported(journal: Journal, live: Manifest | None) -> ModelReport:
    """What to say of the model while `live` answers."""
    before = journal.settled if journal.phase is Phase.TRIAL else journal.previous
    return ModelReport(
        model=journal.model,
        phase=journal.phase,
        because=journal.because,
        since=journal.since,
        wanted=_wanted(journal.wanted),
        running=None if live is None else release_of(live),
        previous=None if before is None else release_of(before),
        rollout=None if journal.wanted is None else journal.wanted.rollout,
        slot=journal.slot,
    )

"""Looks at the work itself: what became of each model, whether its files are sound, and what waits for the hub."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from edge_agent.core.journal import Journal, current, manifests
from edge_agent.doctor.finding import Finding, ok, unknown, warning, wrong
from edge_agent.errors import StateUnusable
from edge_agent.runtimes.verdicts import refusals as refusals_of
from edge_agent.state import StateFolder
from edge_agent.store.artifacts import file_name
from edge_agent.telemetry.spool import look, unreadable
from fleet_contract.manifest import Blob
from fleet_contract.report import Phase

#: An order that is under way for longer than this does not get on.
_SLOW = timedelta(hours=1)
_UNDERWAY = frozenset({Phase.FETCHING, Phase.VERIFYING, Phase.PREFLIGHT})
#: Waits that are as they should be, by the code of their reason.
_DUE = frozenset({"window-closed"})
_AS_OWNER = "Run as root or as its owner."
#: Why telemetry was dropped, and what to do about it; of what is not here, the hub's or the agent's log tells more.
_LOSSES = {
    "spool-full": ("for lack of room", "Let the device reach its broker, or raise telemetry.spool_max_bytes."),
    "disk": ("that the disk did not take", "Make room on the disk, or check it."),
    "damaged": ("that were damaged on the disk", "Check the disk: `dmesg`, `smartctl`."),
    "unreadable": (
        "that could not be read for an hour",
        "Check the disk: `dmesg`, `smartctl`. Their files are beside the others in the spool, as *.unreadable.",
    ),
    "refused": ("that the hub refused", "See what the hub's log says."),
    "other-device": ("that were recorded under another name", ""),
}


def models(state: StateFolder, now: datetime) -> Iterator[Finding]:
    """By the journals, one for each model."""
    journals = _journals(state)
    running = state.locked()
    for name, journal in journals.items():
        about = f"model {name}"
        match journal:
            case OSError():
                yield unknown(about, f"Its journal cannot be read: {journal.strerror}.", _AS_OWNER)
            case ValueError():
                remedy = "Remove it; the hub says again what to run."
                yield wrong(about, f"Its journal {state.journals / name}.json is damaged: {journal}.", remedy)
            case Journal():
                yield _model(about, journal, now, running=running)
    if not journals:
        yield ok("models", "None was ever ordered.")


def _model(about: str, journal: Journal, now: datetime, *, running: bool) -> Finding:
    manifest = current(journal)
    if manifest is None:
        what = "nothing runs"
    else:
        what = f"version {manifest.version} {'runs' if running else 'is what runs once the agent does'}"
    if journal.phase is Phase.REJECTED:
        return warning(about, f"{journal.because}; {what}.", "Order another version, or have this one tried again.")
    if journal.phase not in _UNDERWAY:
        return ok(about, f"{journal.phase}, {what}.")
    says = f"{journal.phase} since {journal.since:%Y-%m-%d %H:%M} UTC; {what}. {journal.because.sentence}"
    if now - journal.since > _SLOW and journal.because.code not in _DUE:
        return warning(about, says, "It goes on by itself once that is mended; the agent's log says more.")
    return ok(about, says)


def artifacts(state: StateFolder) -> Iterator[Finding]:
    """Reads back what runs and what it would fall back on, as the agent does before it loads it."""
    sound = 0
    for name, journal in _journals(state).items():
        if not isinstance(journal, Journal):
            continue
        ours = {one.artifact.digest for one in (journal.settled, journal.previous) if one is not None}
        for manifest in {one.artifact.digest: one for one in manifests(journal)}.values():
            for blob, what in ((manifest.artifact, "artifact"), (manifest.golden.blob, "golden set")):
                try:
                    fault = _fault(state.artifacts / file_name(blob.digest), blob)
                except FileNotFoundError:
                    # Of what is on its way nothing need be there yet.
                    fault = "is not there" if manifest.artifact.digest in ours else None
                except PermissionError as error:
                    yield unknown("artifacts", f"{error.filename} cannot be read: {error.strerror}.", _AS_OWNER)
                    return
                except OSError as error:
                    fault = f"cannot be read: {error.strerror}"
                else:
                    sound += fault is None
                if fault is not None:
                    yield wrong(
                        "artifacts",
                        f"The {what} of {name} version {manifest.version} {fault}.",
                        "The agent fetches it again when it is to load it. Check the disk: `dmesg`, `smartctl`.",
                    )
    if sound:
        yield ok("artifacts", f"{sound} files were read back, and are what their digests say.")


def refusals(state: StateFolder) -> Iterator[Finding]:
    """What the device has, and must not compute a model that runs here: it was tried."""
    for name, journal in _journals(state).items():
        manifest = current(journal) if isinstance(journal, Journal) else None
        if manifest is None:
            continue
        for who, because in refusals_of(state.artifacts / file_name(manifest.artifact.digest)).items():
            says = f"{who} does not compute {name} version {manifest.version}: {because.sentence}"
            if because.code == "provider-slower":
                yield ok("accelerator", says)
            else:
                remedy = "Another version of the runtime is tried anew; until then something else computes it."
                yield warning("accelerator", says, remedy)


def spool(state: StateFolder, max_bytes: int) -> Iterator[Finding]:
    """What waits on the disk for the hub, and what never will come there."""
    try:
        held, waiting = look(state.spool), unreadable(state.spool)
    except StateUnusable as error:
        yield unknown("telemetry", error.what, _AS_OWNER)
        return
    share = held.size_bytes / max_bytes
    says = f"{sum(one.records for one in held.lanes.values()):,} records wait for the hub, {share:.0%} of what may."
    if share > 0.8:
        yield warning("telemetry", says, "Let the device reach its broker before the oldest are dropped.")
    else:
        yield ok("telemetry", says)
    if waiting:
        yield warning(
            "telemetry",
            f"{waiting:,} files of it cannot be read now; they wait, as does what came after them.",
            "Check the disk: `dmesg`, `smartctl`. A running agent puts them aside once an hour's tries have failed.",
        )
    lost: Counter[str] = Counter()
    for lane in held.lanes.values():
        lost.update(lane.dropped)
    for reason, count in lost.items():
        why, remedy = _LOSSES.get(reason, (f"({reason})", "See what the agent's log says."))
        yield warning("telemetry", f"{count:,} records {why} were dropped since the device joined.", remedy)


def _journals(state: StateFolder) -> dict[str, Journal | OSError | ValueError]:
    """By name, each or why it cannot be read."""
    found: dict[str, Journal | OSError | ValueError] = {}
    for path in sorted(state.journals.glob("*.json")):
        try:
            found[path.stem] = msgspec.json.decode(path.read_bytes(), type=Journal)
        except (OSError, ValueError) as error:
            found[path.stem] = error
    return found


def _fault(path: Path, blob: Blob) -> str | None:
    """What is wrong with the file of `blob`. Raises OSError."""
    with path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return None if digest == blob.digest else f"has changed on disk: its digest is {digest[:19]}"

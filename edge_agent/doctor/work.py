"""Looks at the work itself: what became of each model, and what waits for the hub."""

from collections.abc import Iterator

import msgspec

from edge_agent.core.journal import Journal, current
from edge_agent.doctor.finding import Finding, ok, unknown, warning, wrong
from edge_agent.errors import StateUnusable
from edge_agent.state import StateFolder
from edge_agent.telemetry.spool import look
from fleet_contract.report import Phase


def models(state: StateFolder) -> Iterator[Finding]:
    """By the journals, one for each model."""
    found = False
    for path in sorted(state.journals.glob("*.json")):
        found = True
        about = f"model {path.stem}"
        try:
            journal = msgspec.json.decode(path.read_bytes(), type=Journal)
        except OSError as error:
            yield unknown(about, f"Its journal cannot be read: {error.strerror}.", "Run as root or as its owner.")
            continue
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield wrong(about, f"Its journal {path} is damaged: {error}.", "Remove it; the hub says again what to run.")
            continue
        runs = current(journal)
        what = "nothing runs" if runs is None else f"version {runs.version} runs"
        if journal.phase is Phase.REJECTED:
            yield warning(about, f"{journal.because}; {what}.", "Order another version, or have this one tried again.")
        else:
            yield ok(about, f"{journal.phase}, {what}.")
    if not found:
        yield ok("models", "None was ever ordered.")


def spool(state: StateFolder, max_bytes: int) -> Finding:
    """What waits on the disk for the hub."""
    try:
        held = look(state.spool)
    except StateUnusable as error:
        return unknown("telemetry", error.what, "Run as root or as its owner.")
    share = held.size_bytes / max_bytes
    says = f"{held.records:,} records wait for the hub, {share:.0%} of what may"
    if held.dropped:
        return warning(
            "telemetry",
            f"{says}; {held.dropped:,} were dropped for lack of room.",
            "Let the device reach its broker, or raise telemetry.spool_max_bytes.",
        )
    if share > 0.8:
        return warning("telemetry", f"{says}.", "Let the device reach its broker before the oldest are dropped.")
    return ok("telemetry", f"{says}.")

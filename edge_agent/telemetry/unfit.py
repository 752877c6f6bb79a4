"""Says why no hub could take a record: kept, it would be sent for ever, and hold up all that follow. No I/O."""

from typing import assert_never

from fleet_contract.because import Because
from fleet_contract.bounds import MAX_KEYS
from fleet_contract.errors import Undecodable
from fleet_contract.telemetry import Event, Lane, Record, Sample, Window, check_record

#: A record that is larger than a batch may be could never be sent.
MAX_RECORD_BYTES = 96 * 1024


def unfit(lane: Lane, record: Record, body: bytes) -> Because | None:
    """What is wrong with `record` of `lane`, which is `body` in MessagePack; None when nothing is."""
    what, keys = _named(record), 0
    if isinstance(record, Window):
        keys = max(len(record.predictions), len(record.features), len(record.error_codes))
    if len(body) > MAX_RECORD_BYTES:
        return Because(
            "window-too-large",
            f"{what} has {len(body)} bytes, and may have {MAX_RECORD_BYTES}: its manifest names too many labels or "
            "features.",
        )
    if keys > MAX_KEYS:
        return Because("window-wrong", f"{what} names {keys} labels, features or codes, and may name {MAX_KEYS}.")
    try:
        check_record(lane, body)
    except Undecodable as error:
        return Because(f"{type(record).__name__.lower()}-wrong", f"{what} breaks the contract: {error}")
    return None


def _named(record: Record) -> str:
    match record:
        case Window():
            return f"A window of {record.model} version {record.version}"
        case Event():
            return f"An event {record.kind}"
        case Sample():
            return f"A sample of {record.model} version {record.version}"
        case _:
            assert_never(record)

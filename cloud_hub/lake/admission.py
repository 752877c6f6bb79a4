"""Which telemetry messages may come in: from the device that they claim, with numbers that any store can hold.

What passes here can be written; a message that could not would otherwise be tried again for ever, and hold up all
that come with it.
"""

import re
from collections.abc import Iterable, Mapping

from fleet_contract.errors import ContractError, DeviceWrong
from fleet_contract.telemetry import Batch, Window, decode_batch
from fleet_contract.topics import Address, check_id

_BOOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
#: So low that sums over millions of windows still fit a 64-bit integer.
_MAX_COUNT = 2**40
_MAX_SEQUENCE = 2**62
_MAX_VERSION = 2**31 - 1
_MAX_BUCKET = 2**31 - 1
#: Unix time in milliseconds at the end of the year 9998, which every store can still name in every time zone.
_MAX_TIME_MS = 253_370_764_800_000
_MAX_KEYS = 4096
_MAX_TEXT = 256


class TelemetryWrong(ContractError):
    """A batch that is decodable, but says what cannot be."""

    code = "telemetry-wrong"


def admit(address: Address, payload: bytes) -> Batch:
    """The batch in `payload`, which came on `address`'s own topic. Raises `ContractError` when it may not come in."""
    batch = decode_batch(payload)
    if batch.device != address.device:
        raise DeviceWrong(f"Device {address.device} sent a batch of telemetry that claims to be {batch.device}'s.")
    if not _BOOT.fullmatch(batch.boot):
        raise TelemetryWrong(f"Device {batch.device} names its boot {batch.boot[:80]!r}.")
    if batch.after < 0:
        raise TelemetryWrong(f"Device {batch.device} sent a batch that follows {batch.after}.")
    for window in batch.windows:
        if wrong := _wrong(window):
            raise TelemetryWrong(f"Window {window.sequence} of device {batch.device} has {wrong}.")
    return batch


def _wrong(window: Window) -> str | None:
    try:
        check_id(window.model, "model name")
    except ContractError as error:
        return f"a wrong model name: {error.what}"
    if not _DIGEST.fullmatch(window.digest):
        return f"the digest {window.digest[:80]!r}"
    if not 1 <= window.version <= _MAX_VERSION:
        return f"version {window.version}"
    if not 1 <= window.sequence <= _MAX_SEQUENCE:
        return "a sequence that is out of range"
    if not 0 <= window.started_at_ms <= window.ended_at_ms <= _MAX_TIME_MS:
        return f"times from {window.started_at_ms} to {window.ended_at_ms}"
    if not _counts((window.count, window.errors)):
        return f"a count of {window.count} and {window.errors} errors"
    if not (len(window.latency) <= _MAX_KEYS and all(0 <= bucket <= _MAX_BUCKET for bucket in window.latency)):
        return "latency buckets that are out of range"
    if not (_labels(window.predictions) and _labels(window.error_codes) and _labels(window.features)):
        return "too many labels, or too long ones"
    dense = (window.latency.values(), window.predictions.values(), window.error_codes.values(), window.confidence)
    if not all(_counts(counts) for counts in (*dense, *window.features.values())):
        return "a count that is out of range"
    return None


def _counts(values: Iterable[int]) -> bool:
    return all(0 <= value <= _MAX_COUNT for value in values)


def _labels(histogram: Mapping[str, object]) -> bool:
    return len(histogram) <= _MAX_KEYS and all(len(label) <= _MAX_TEXT for label in histogram)

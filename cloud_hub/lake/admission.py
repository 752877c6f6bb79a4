"""Which telemetry messages may come in: from the device that they claim, and such that every store can hold them.

The contract bounds the numbers and names. What passes here as well can be written; a message that could not would
otherwise be tried again for ever, and hold up all that come with it.
"""

import re
from collections.abc import Iterator

from fleet_contract.bounds import MAX_KEYS
from fleet_contract.desired import SLOTS
from fleet_contract.errors import ContractError, DeviceWrong
from fleet_contract.telemetry import Batch, Event, Sample, Window, channel_of, decode_batch
from fleet_contract.topics import Address, Channel, check_id

_BOOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: The end of the year 9998, which every store and every reader can still name, in every time zone.
_MAX_TIME_MS = 253_370_764_800_000


class TelemetryWrong(ContractError):
    """A batch that is decodable, but says what cannot be."""

    code = "telemetry-wrong"


def admit(address: Address, payload: bytes, channel: Channel = Channel.TELEMETRY) -> Batch:
    """The batch in `payload`, which came on `address`'s own topic of `channel`. Raises `ContractError` when it may not
    come in."""
    batch = decode_batch(payload)
    if channel_of(batch.lane) is not channel:
        raise TelemetryWrong(f"Device {address.device} sent a batch of {batch.lane} on {channel}.")
    if batch.device != address.device:
        raise DeviceWrong(f"Device {address.device} sent a batch of telemetry that claims to be {batch.device}'s.")
    if not _BOOT.fullmatch(batch.boot):
        raise TelemetryWrong(f"Device {batch.device} names its boot {batch.boot[:80]!r}.")
    of_models: tuple[Window | Sample, ...] = (*batch.windows, *batch.samples)
    for model in {one.model for one in of_models}:
        check_id(model, "model name")
    for digest in {one.digest for one in of_models}:
        if not _DIGEST.fullmatch(digest):
            raise TelemetryWrong(f"Device {batch.device} sent {batch.lane} of an artifact {digest[:80]!r}.")
    for window in batch.windows:
        for wrong in _wrong(window):
            raise TelemetryWrong(f"Window {window.sequence} of device {batch.device} has {wrong}.")
    for event in batch.events:
        for wrong in _wrong_event(event):
            raise TelemetryWrong(f"Event {event.sequence} of device {batch.device} has {wrong}.")
    for sample in batch.samples:
        for wrong in _wrong_sample(sample):
            raise TelemetryWrong(f"Sample {sample.sequence} of device {batch.device} has {wrong}.")
    return batch


def _wrong_event(event: Event) -> Iterator[str]:
    for name in ("kind", "code"):
        if not getattr(event, name):
            yield f"no {name}"
    if event.at_ms > _MAX_TIME_MS:
        yield f"the time {event.at_ms} ms"


def _wrong_sample(sample: Sample) -> Iterator[str]:
    if sample.version < 1:
        yield f"version {sample.version}"
    if not sample.reason:
        yield "no reason"
    if not _SHA256.fullmatch(sample.capture):
        yield f"the capture {sample.capture[:80]!r}"
    if sample.at_ms > _MAX_TIME_MS:
        yield f"the time {sample.at_ms} ms"


def _wrong(window: Window) -> Iterator[str]:
    if window.version < 1:
        yield f"version {window.version}"
    if window.slot not in SLOTS:
        yield f"the slot {window.slot[:80]!r}"
    if window.agreed > window.compared:
        yield f"{window.agreed} records that agreed of {window.compared} compared"
    if not window.correct <= window.labelled <= window.count:
        yield f"{window.correct} right records of {window.labelled} labelled of {window.count}"
    if not window.started_at_ms <= window.ended_at_ms <= _MAX_TIME_MS:
        yield f"times from {window.started_at_ms} to {window.ended_at_ms} ms"
    for name, keys in (
        ("latency buckets", window.latency),
        ("labels", window.predictions),
        ("features", window.features),
        ("error codes", window.error_codes),
    ):
        if len(keys) > MAX_KEYS:
            yield f"{len(keys)} {name}, and {MAX_KEYS} is the most"

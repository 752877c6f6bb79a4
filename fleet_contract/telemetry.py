"""Records of telemetry, and the batches that carry them: columnar MessagePack, compressed with zstd.

Records come in lanes: windows, which add up what one version of one model did over some seconds, events, which say what
changed on a device and why, and samples, which say what inputs a device has kept. Windows add up further, over any
cohort, without loss. (device, boot, lane, sequence) names a record for ever, so a repeated one is recognised.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Any, assert_never

import msgspec
import zstandard

from fleet_contract.because import Because
from fleet_contract.bounds import Confidence, Count, Moment, Name, Number, Sentence, Temperature, check_names
from fleet_contract.errors import Undecodable
from fleet_contract.histogram import Bucket
from fleet_contract.topics import Channel

#: No honest batch unpacks to more: a message is at most 128 KiB, and windows compress some 4 times.
MAX_UNPACKED_BYTES = 8 * 1024 * 1024
LEVEL = 3


class Lane(StrEnum):
    """A sequence of records of one kind, with acks of its own, most precious first."""

    WINDOWS = "windows"
    EVENTS = "events"
    SAMPLES = "samples"


class Window(msgspec.Struct, frozen=True):
    """`count` records answered and `errors` that failed, from `started_at_ms` to `ended_at_ms` (Unix time)."""

    sequence: Number
    model: Name
    version: Count
    digest: Name
    started_at_ms: Number
    ended_at_ms: Number
    count: Count
    errors: Count
    latency: dict[Bucket, Count]
    """Bucket (`histogram.latency_bucket`) to count."""
    predictions: dict[Name, Count]
    """Label to count."""
    confidence: tuple[Count, ...]
    """Counts over the edges of the manifest's reference."""
    features: dict[Name, tuple[Count, ...]] = {}
    error_codes: dict[Name, Count] = {}
    slot: Name = "default"
    """"shadow" when the version ran beside the live one and answered nobody."""
    compared: Count = 0
    """Of a shadow: records whose label was compared with the live version's."""
    agreed: Count = 0
    """Of those, how many had the same label."""
    memory_bytes: Number = 0
    """The agent's peak while the window was open, all models together; 0 where nobody knows."""
    temperature_c: Temperature | None = None
    """Of the hottest sensor while it was open; None on a device that has none."""
    labelled: Count = 0
    """Of `count`: records whose true label is known."""
    correct: Count = 0
    """Of those, how many were given it."""


class Event(msgspec.Struct, frozen=True):
    """Something that changed on a device at `at_ms` (Unix time), by its own clock: what, and why.

    `kind` is "started", "stopping", "phase", "refused", "trouble" or "mended"; more may come. The fields after
    `sentence` say which model it is about, and are empty or 0 where it is about none.
    """

    sequence: Number
    at_ms: Number
    kind: Name
    code: Name
    sentence: Sentence
    model: Name = ""
    slot: Name = ""
    version: Count = 0
    phase: Name = ""
    rollout: Name = ""


class Sample(msgspec.Struct, frozen=True):
    """One record that a device has kept the inputs of, at `at_ms` (Unix time, by its own clock), and why.

    `reason` is "random", "low-margin" or "disagreement"; more may come.
    """

    sequence: Number
    at_ms: Number
    model: Name
    version: Count
    digest: Name
    """Of the version's artifact."""
    reason: Name
    capture: Name
    """SHA-256 of the file that holds the inputs, in hex."""
    size_bytes: Number
    """Of that file."""
    label: Name = ""
    """What the live version said; empty where the model has no labels."""
    confidence: Confidence = 0.0
    """Of that label."""
    margin: Confidence = 0.0
    """What that is above the confidence of the second best label."""
    beside: Name = ""
    """The label that a shadow gave, where it was another."""
    beside_version: Count = 0


Record = Window | Event | Sample


class Batch(msgspec.Struct, frozen=True):
    """Records of one lane of one boot, in order of sequence: `windows`, `events` or `samples`, as `lane` says.

    `after` is the sequence that these follow in the sender's spool: there is nothing between `after` and the
    first record that the receiver could still get. A receiver whose mark is below `after` has missed a batch, and
    answers with its mark; the sender then starts again from there.
    """

    device: Name
    boot: Name
    after: Number
    windows: tuple[Window, ...] = ()
    events: tuple[Event, ...] = ()
    lane: Lane = Lane.WINDOWS
    samples: tuple[Sample, ...] = ()

    @property
    def records(self) -> tuple[Window, ...] | tuple[Event, ...] | tuple[Sample, ...]:
        """What the batch carries, whichever lane it is of."""
        match self.lane:
            case Lane.WINDOWS:
                return self.windows
            case Lane.EVENTS:
                return self.events
            case Lane.SAMPLES:
                return self.samples
            case _:
                assert_never(self.lane)


class Ack(msgspec.Struct, frozen=True):
    """All records of `lane` and `boot` up to and including sequence `through` are safe in the lake.

    Or, when `batch` names one, the answer to that batch alone: `refused` for good, or no room for it now. Such an
    answer says nothing of what is in the lake.
    """

    device: Name
    boot: Name
    through: Number
    lane: Name = Lane.WINDOWS.value
    batch: Name = ""
    """The `fingerprint` of the batch that was not taken."""
    refused: Because | None = None
    """Why no repeat of it will ever be taken: its sender sends less at once, and drops what is refused alone."""
    wait_seconds: Count = 0
    """The receiver has no room now: the sender comes again no sooner than in about so many seconds."""
    sent_at: Moment | None = None
    """The hub's time. Not signed: good for saying that a device's clock is wrong, and for nothing that trusts it."""


def channel_of(lane: Lane) -> Channel:
    """What batches of `lane` go over: a receiver takes them on no other."""
    return Channel.SAMPLES if lane is Lane.SAMPLES else Channel.TELEMETRY


def fingerprint(payload: bytes) -> str:
    """What names an encoded batch in an answer to it."""
    return hashlib.blake2b(payload, digest_size=8).hexdigest()


class _Columns(msgspec.Struct, frozen=True, omit_defaults=True):
    device: Name
    boot: Name
    after: Number
    columns: dict[str, msgspec.Raw]
    rows: Count
    lane: Name = Lane.WINDOWS.value


#: What the records of each lane are.
RECORDS: Mapping[Lane, type[Record]] = {Lane.WINDOWS: Window, Lane.EVENTS: Event, Lane.SAMPLES: Sample}
_fields = {lane: {one.name: one for one in msgspec.structs.fields(kind)} for lane, kind in RECORDS.items()}
_column_decoders: Mapping[Lane, Mapping[str, msgspec.msgpack.Decoder[list[Any]]]] = {
    lane: {name: msgspec.msgpack.Decoder(list[one.type]) for name, one in fields.items()}  # type: ignore[name-defined]
    for lane, fields in _fields.items()
}
_record_decoders: Mapping[Lane, msgspec.msgpack.Decoder[Any]] = {
    lane: msgspec.msgpack.Decoder(kind) for lane, kind in RECORDS.items()
}
#: Columns of text, and columns of dictionaries whose keys are.
_TEXTS = {
    Lane.WINDOWS: ("model", "digest", "slot"),
    Lane.EVENTS: ("kind", "code", "sentence", "model", "slot", "phase", "rollout"),
    Lane.SAMPLES: ("model", "digest", "reason", "capture", "label", "beside"),
}
_NAMED = {Lane.WINDOWS: ("predictions", "features", "error_codes"), Lane.EVENTS: (), Lane.SAMPLES: ()}
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Columns)


def encode_batch(batch: Batch, level: int = LEVEL) -> bytes:
    """`batch` as it goes over the wire."""
    columns = {
        name: msgspec.Raw(_encoder.encode([getattr(one, name) for one in batch.records]))
        for name in _fields[batch.lane]
    }
    rows = len(batch.records)
    packed = _encoder.encode(_Columns(batch.device, batch.boot, batch.after, columns, rows, batch.lane.value))
    return zstandard.ZstdCompressor(level=level).compress(packed)


def decode_batch(data: bytes) -> Batch:
    """The batch in `data`. Columns that we do not know are ignored. Raises `Undecodable`."""
    try:
        if zstandard.frame_content_size(data) > MAX_UNPACKED_BYTES:
            raise Undecodable(f"This batch would unpack to more than {MAX_UNPACKED_BYTES} bytes.")
        packed = _decoder.decode(zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_UNPACKED_BYTES))
        if packed.lane not in tuple(Lane):
            raise Undecodable(f"This batch is of the lane {packed.lane[:80]!r}, which is not known here.")
        records = _records(Lane(packed.lane), packed)
    except KeyError as error:
        raise Undecodable(f"This batch of telemetry lacks the column {error}.") from error
    except (zstandard.ZstdError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"This is not a batch of telemetry: {error}.") from error
    if any(b <= a for a, b in pairwise([packed.after, *(one.sequence for one in records)])):
        raise Undecodable(f"The records after {packed.after} are not in order of sequence.")
    return batch_of(packed.device, packed.boot, packed.after, Lane(packed.lane), records)


def check_record(lane: Lane, packed: bytes) -> None:
    """Raises `Undecodable` when `packed`, a record of `lane` in MessagePack, could be in no batch."""
    try:
        record = _record_decoders[lane].decode(packed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Undecodable(f"This is not a record of telemetry: {error}.") from error
    names = {getattr(record, name) for name in _TEXTS[lane]}
    names.update(*(getattr(record, name) for name in _NAMED[lane]))
    check_names(names)


def batch_of(device: str, boot: str, after: int, lane: Lane, records: tuple[Any, ...]) -> Batch:
    """The batch of `records`, which are of `lane`."""
    match lane:
        case Lane.WINDOWS:
            return Batch(device, boot, after, records)
        case Lane.EVENTS:
            return Batch(device, boot, after, events=records, lane=lane)
        case Lane.SAMPLES:
            return Batch(device, boot, after, samples=records, lane=lane)
        case _:
            assert_never(lane)


def _records(lane: Lane, packed: _Columns) -> tuple[Any, ...]:
    columns = {
        name: _column_decoders[lane][name].decode(packed.columns[name])
        for name, one in _fields[lane].items()
        if name in packed.columns or one.required
    }
    if wrong := [name for name, column in columns.items() if len(column) != packed.rows]:
        raise Undecodable(f"Columns {', '.join(wrong)} do not have the {packed.rows} rows that the batch names.")
    names = {packed.device, packed.boot}
    names.update(*(columns.get(name, ()) for name in _TEXTS[lane]))
    names.update(*(keys for name in _NAMED[lane] for keys in columns.get(name, ())))
    check_names(names)
    kind = RECORDS[lane]
    return tuple(kind(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))

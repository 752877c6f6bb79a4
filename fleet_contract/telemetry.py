"""Windows of telemetry, and the batches that carry them: columnar MessagePack, compressed with zstd.

A window adds up what one version of one model did on one device over some seconds. Windows add up further, over
any cohort, without loss. (device, boot, sequence) names a window for ever, so a repeated one is recognised.
"""

from itertools import pairwise

import msgspec
import zstandard

from fleet_contract.bounds import Count, Name, Number, check_names
from fleet_contract.errors import Undecodable
from fleet_contract.histogram import Bucket

#: No honest batch unpacks to more: a message is at most 128 KiB, and windows compress some 4 times.
MAX_UNPACKED_BYTES = 8 * 1024 * 1024
LEVEL = 3


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


class Batch(msgspec.Struct, frozen=True):
    """Windows of one boot, in order of sequence.

    `after` is the sequence that these follow in the sender's spool: there is nothing between `after` and the
    first window that the receiver could still get. A receiver whose mark is below `after` has missed a batch, and
    answers with its mark; the sender then starts again from there.
    """

    device: Name
    boot: Name
    after: Number
    windows: tuple[Window, ...]


class Ack(msgspec.Struct, frozen=True):
    """All windows of `boot` up to and including sequence `through` are safe in the lake."""

    device: Name
    boot: Name
    through: Number


class _Columns(msgspec.Struct, frozen=True):
    device: Name
    boot: Name
    after: Number
    columns: dict[str, msgspec.Raw]
    rows: Count


_FIELDS = {field.name: field for field in msgspec.structs.fields(Window)}
_column_decoders = {
    name: msgspec.msgpack.Decoder(list[field.type])  # type: ignore[name-defined]
    for name, field in _FIELDS.items()
}
_NAMED = ("predictions", "features", "error_codes")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Columns)


def encode_batch(batch: Batch) -> bytes:
    """`batch` as it goes over the wire."""
    columns = {name: msgspec.Raw(_encoder.encode([getattr(w, name) for w in batch.windows])) for name in _FIELDS}
    packed = _encoder.encode(_Columns(batch.device, batch.boot, batch.after, columns, len(batch.windows)))
    return zstandard.ZstdCompressor(level=LEVEL).compress(packed)


def decode_batch(data: bytes) -> Batch:
    """The batch in `data`. Columns that we do not know are ignored. Raises `Undecodable`."""
    try:
        if zstandard.frame_content_size(data) > MAX_UNPACKED_BYTES:
            raise Undecodable(f"This batch would unpack to more than {MAX_UNPACKED_BYTES} bytes.")
        packed = _decoder.decode(zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_UNPACKED_BYTES))
        columns = {
            name: _column_decoders[name].decode(packed.columns[name])
            for name, field in _FIELDS.items()
            if name in packed.columns or field.required
        }
        if wrong := [name for name, column in columns.items() if len(column) != packed.rows]:
            raise Undecodable(f"Columns {', '.join(wrong)} do not have the {packed.rows} rows that the batch names.")
        names = {packed.device, packed.boot, *columns["model"], *columns["digest"]}
        names.update(*(keys for name in _NAMED for keys in columns.get(name, ())))
        check_names(names)
        windows = tuple(Window(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))
    except KeyError as error:
        raise Undecodable(f"This batch of telemetry lacks the column {error}.") from error
    except (zstandard.ZstdError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"This is not a batch of telemetry: {error}.") from error
    sequences = [window.sequence for window in windows]
    if any(b <= a for a, b in pairwise([packed.after, *sequences])):
        raise Undecodable(f"The windows after {packed.after} are not in order of sequence.")
    return Batch(packed.device, packed.boot, packed.after, windows)

"""JSON for what people read: one encoder, one decoder, one canonical form."""

from typing import Any, TypeVar

import msgspec

from fleet_contract.errors import Undecodable

T = TypeVar("T")

#: What AWS IoT Core takes, and so the most that any message may be.
MAX_MESSAGE_BYTES = 128 * 1024

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")
_plain = msgspec.json.Decoder()


def encode(value: Any) -> bytes:
    """`value`, a contract struct, as JSON bytes."""
    return _encoder.encode(value)


def decode(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """The `kind` that `data` holds. Unknown fields are ignored. Raises `Undecodable`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"This is not a {kind.__name__}: {error}.") from error


def canonical(data: bytes | msgspec.Raw) -> bytes:
    """The canonical form of a JSON text: keys sorted, no white space, fields that we do not know kept.

    Two texts that mean the same have the same canonical form, so a signature survives a broker or proxy that
    re-encodes JSON, and survives readers older than the writer. A whole number is written without a fraction, since
    JavaScript and cloud rules write 1.0 as 1. Raises `Undecodable`.
    """
    try:
        return _canonical.encode(_whole_as_integers(_plain.decode(data)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"This is not JSON: {error}.") from error


def _whole_as_integers(value: Any) -> Any:
    match value:
        case dict():
            return {key: _whole_as_integers(inner) for key, inner in value.items()}
        case list():
            return [_whole_as_integers(inner) for inner in value]
        # Beyond 2^53 a float names no one integer, and writers differ in how they spell it.
        case float() if value.is_integer() and abs(value) <= 2**53:
            return int(value)
        case _:
            return value

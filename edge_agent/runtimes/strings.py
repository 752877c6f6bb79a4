"""String tensors: bytes outside, whatever a runtime makes of them inside."""

from collections.abc import Callable

import numpy as np

from edge_agent.runtimes.session import Array, InferenceFailed


def as_bytes(array: Array) -> Array:
    """`array` of strings, of any kind that NumPy has, as an object array of `bytes`. Raises `InferenceFailed`."""
    return _each(array, _to_bytes)


def as_text(array: Array) -> Array:
    """The same as an object array of `str`. Raises `InferenceFailed` where it is not UTF-8."""
    return _each(array, _to_text)


def _each(array: Array, convert: Callable[[object], object]) -> Array:
    converted = np.empty(array.shape, dtype=object)
    flat = converted.reshape(-1)
    for index, one in enumerate(array.reshape(-1).tolist()):
        flat[index] = convert(one)
    return converted


def _to_bytes(one: object) -> bytes:
    match one:
        case bytes():
            return one
        case str():
            return one.encode()
        case _:
            raise InferenceFailed(f"A string tensor holds a {type(one).__name__}.")


def _to_text(one: object) -> str:
    match one:
        case str():
            return one
        case bytes():
            try:
                return one.decode()
            except UnicodeDecodeError as error:
                raise InferenceFailed(f"ONNX Runtime takes strings in UTF-8: {error}.") from error
        case _:
            raise InferenceFailed(f"A string tensor holds a {type(one).__name__}.")

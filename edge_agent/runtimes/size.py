"""What tensors take in memory. No I/O."""

from collections.abc import Mapping

from edge_agent.runtimes.session import Array

#: Of an array of strings NumPy counts the pointers only: each string is an object of its own beside its characters.
_STRING_BYTES = 40


def bytes_of(arrays: Mapping[str, Array]) -> int:
    """Of all of `arrays` together, with the strings in them."""
    return sum(one.nbytes + (_strings(one) if one.dtype.kind == "O" else 0) for one in arrays.values())


def _strings(array: Array) -> int:
    return sum(_STRING_BYTES + len(one) for one in array.reshape(-1).tolist())

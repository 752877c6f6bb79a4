"""What tensors take in memory. No I/O."""

from collections.abc import Mapping

from edge_agent.runtimes.session import Array

#: Of an array of strings NumPy counts the pointers only: each string is an object of its own beside its characters.
_STRING_BYTES = 40
#: A batch of more leaves many times as much behind in a runtime, which keeps what its largest run has needed.
_LARGE_BATCH_BYTES = 8 * 1024 * 1024


def bytes_of(arrays: Mapping[str, Array]) -> int:
    """Of all of `arrays` together, with the strings in them."""
    return sum(one.nbytes + (_strings(one) if one.dtype.kind == "O" else 0) for one in arrays.values())


def is_large_batch(inputs: Mapping[str, Array]) -> bool:
    """Whether what a run of `inputs` needs should be given back after it. One row is what the model always needs."""
    # A generator would cost more than the look.
    for one in inputs.values():  # noqa: SIM110
        if one.nbytes > _LARGE_BATCH_BYTES and one.shape[0] > 1:
            return True
    return False


def _strings(array: Array) -> int:
    return sum(_STRING_BYTES + len(one) for one in array.reshape(-1).tolist())

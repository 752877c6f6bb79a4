"""Tensors in shared memory: where a request's parameters say that one lies, and what is fetched from or put there."""

import msgspec
import numpy as np

from edge_agent.runtimes.session import Array
from edge_agent.serving import tensors
from edge_agent.serving.port import InputWrong
from edge_agent.serving.regions import Regions


class Where(msgspec.Struct, frozen=True):
    """The place of a tensor; `region` is "" for one that is not in shared memory."""

    region: str
    offset: int
    byte_size: int


def fetch(regions: Regions, name: str, datatype: str, shape: tuple[int, ...], where: Where) -> Array:
    """The tensor at `where`, in memory of the agent's own. Raises `InputWrong`."""
    # Looked at before memory is taken for what the caller merely says.
    tensors.check_size(name, datatype, shape, where.byte_size)
    regions.check(name, where.region, where.offset, where.byte_size)
    memory = np.empty(where.byte_size, np.uint8)
    regions.read_into(memory.data, name, where.region, where.offset)
    return tensors.from_bytes(name, datatype, shape, memory)


def put(regions: Regions, name: str, array: Array, where: Where) -> int:
    """Writes `array` to `where`; how many bytes it took. Raises `InputWrong` when it does not fit."""
    data = tensors.to_bytes(array)
    if len(data) > where.byte_size:
        raise InputWrong(f"Output {name!r} has {len(data)} bytes, and {where.byte_size} are given to it.")
    regions.write(data, name, where.region, where.offset)
    return len(data)

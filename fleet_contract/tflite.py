"""By what names a manifest knows the tensors of a TFLite file: compiler and device must take the same ones."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple


class Signature(NamedTuple):
    """Names that a file has for the tensors of one of its graphs, each with the tensor's index there."""

    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


class Names(NamedTuple):
    """Names of the main graph's inputs and outputs, by index. What is not in them goes by its own name."""

    inputs: Mapping[int, str] = {}
    outputs: Mapping[int, str] = {}


def names(inputs: Collection[int], outputs: Collection[int], signatures: Iterable[Signature]) -> Names:
    """Those of the first signature that names all `inputs` and `outputs` of the main graph, which is the one that runs,
    and nothing else."""
    for one in signatures:
        # Indices begin anew in each graph: those of another one may be the same.
        if one.subgraph == 0 and (set(one.inputs.values()), set(one.outputs.values())) == (set(inputs), set(outputs)):
            return Names(_by_index(one.inputs), _by_index(one.outputs))
    return Names()


def _by_index(side: Mapping[str, int]) -> dict[int, str]:
    return {index: name for name, index in side.items()}

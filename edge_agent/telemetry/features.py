"""One number for each statistic of one record's input: what feature histograms count."""

from collections.abc import Callable, Mapping

import numpy as np

from edge_agent.runtimes.session import Array

#: Of rows to one number each. In double precision, whatever the input's type: a mean of many float16 or uint8 would
#: overflow or drift.
_STATISTICS: Mapping[str, Callable[[Array], Array]] = {
    "mean": lambda rows: np.asarray(np.mean(rows, axis=1, dtype=np.float64)),
    "std": lambda rows: np.asarray(np.std(rows, axis=1, dtype=np.float64)),
    "min": lambda rows: np.min(rows, axis=1),
    "max": lambda rows: np.max(rows, axis=1),
    "zeros": lambda rows: 1.0 - np.count_nonzero(rows, axis=1) / rows.shape[1],
}


def values(name: str, inputs: Mapping[str, Array], rows: int) -> Array | None:
    """The feature `name`, "<input>.<statistic>", of each of `rows` records; None when there is no such thing."""
    tensor, _, statistic = name.rpartition(".")
    array, compute = inputs.get(tensor), _STATISTICS.get(statistic)
    if array is None or compute is None or array.dtype.kind not in "biuf" or array.shape[:1] != (rows,):
        return None
    return compute(array.reshape(rows, -1)) if array.size else None

"""One number for each statistic of one record's input: what feature histograms count."""

from collections.abc import Callable, Mapping

import numpy as np

from edge_agent.runtimes.session import Array

#: In double precision, whatever the input's type: a mean of many float16 or uint8 would overflow or drift.
_STATISTICS: Mapping[str, Callable[[Array], float]] = {
    "mean": lambda row: float(np.mean(row, dtype=np.float64)),
    "std": lambda row: float(np.std(row, dtype=np.float64)),
    "min": lambda row: float(np.min(row)),
    "max": lambda row: float(np.max(row)),
    "zeros": lambda row: 1.0 - np.count_nonzero(row) / row.size,
}


def value(name: str, inputs: Mapping[str, Array], row: int) -> float | None:
    """The feature `name`, "<input>.<statistic>", of one row of `inputs`; None when there is no such thing."""
    tensor, _, statistic = name.rpartition(".")
    array, compute = inputs.get(tensor), _STATISTICS.get(statistic)
    if array is None or compute is None or array.dtype.kind not in "biuf":
        return None
    record = array[row]
    return compute(record) if record.size else None

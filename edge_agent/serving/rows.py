"""The rows of several calls in one array, and back."""

from collections.abc import Mapping, Sequence

import numpy as np

from edge_agent.runtimes.session import Array


def joined(calls: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The inputs of `calls`, which differ in their number of rows only, one after the other."""
    return {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}


def parted(outputs: Mapping[str, Array], rows: Sequence[int]) -> list[dict[str, Array]] | None:
    """What each of the calls of `rows` rows gets of `outputs`; None when these do not have a row for each row."""
    total = sum(rows)
    if any(array.shape[:1] != (total,) for array in outputs.values()):
        return None
    parts = []
    start = 0
    for count in rows:
        # Copies: a caller that keeps its answer must not keep everybody's.
        parts.append({name: array[start : start + count].copy() for name, array in outputs.items()})
        start += count
    return parts

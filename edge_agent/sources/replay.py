"""A dataset on disk, replayed row by row in a shuffled order that a seed fixes, for ever."""

import random
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge_agent.errors import SourceWrong
from edge_agent.runtimes.session import Array
from edge_agent.sources.rows import DTYPES
from edge_agent.sources.source import Record, Records
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest, Tensor

_PREFIX = "inputs/"


class ReplaySource:
    """A `Source` of the rows of an .npz that holds `inputs/<tensor name>` arrays."""

    trouble: Because | None = None

    def __init__(self, model: str, path: Path, rate_per_second: float, seed: int) -> None:
        self.model = model
        self.rate_per_second = rate_per_second
        self._path = path
        self._seed = seed

    def records(self, manifest: Manifest) -> Records:
        arrays = self._load(manifest.inputs)
        return self._shuffled(arrays)

    def close(self) -> None:
        """The arrays go with the records."""

    def _shuffled(self, arrays: Mapping[str, Array]) -> Records:
        # Not for secrets: the same seed must give the same order everywhere.
        order = random.Random(self._seed)  # noqa: S311
        rows = list(range(len(next(iter(arrays.values())))))
        while True:
            order.shuffle(rows)
            for row in rows:
                yield Record({name: array[row : row + 1] for name, array in arrays.items()})

    def _load(self, tensors: tuple[Tensor, ...]) -> dict[str, Array]:
        try:
            with np.load(self._path, allow_pickle=False) as file:
                names = [name.removeprefix(_PREFIX) for name in file.files if name.startswith(_PREFIX)]
                if missing := [one.name for one in tensors if one.name not in names]:
                    raise SourceWrong(
                        f"{self._path} has no {', '.join(_PREFIX + name for name in missing)}, and model {self.model} "
                        f"needs it; it has {', '.join(file.files) or 'nothing'}.",
                        "Name the arrays after the model's inputs.",
                    )
                arrays = {one.name: self._checked(one, file[_PREFIX + one.name]) for one in tensors}
        except FileNotFoundError as error:
            raise SourceWrong(f"There is no {self._path} to replay.", "Set `path` of the source.") from error
        # RuntimeError: an encrypted member; NotImplementedError, a kind of it: an unknown compression.
        except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise SourceWrong(f"{self._path} cannot be replayed: {error}.", "Write it with numpy.savez.") from error
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise SourceWrong(f"The arrays in {self._path} need the same number of rows, and have {lengths}.")
        return arrays

    def _checked(self, tensor: Tensor, array: Array) -> Array:
        wanted = DTYPES.get(tensor.dtype)
        if wanted is None or array.dtype != wanted:
            raise SourceWrong(
                f"{_PREFIX}{tensor.name} in {self._path} is {array.dtype}, and model {self.model} takes {tensor.dtype}."
            )
        # The first dimension is the batch, which a replay gives one row at a time.
        row = tensor.shape[1:]
        fits = array.ndim == len(tensor.shape) and all(
            want in (-1, have) for want, have in zip(row, array.shape[1:], strict=True)
        )
        # An array of no dimension has no rows to replay.
        if not fits or tensor.shape[:1] not in ((-1,), (1,)):
            raise SourceWrong(
                f"{_PREFIX}{tensor.name} in {self._path} has the shape {array.shape}, and model {self.model} takes "
                f"{tensor.shape}."
            )
        return array

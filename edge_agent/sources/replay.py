"""A dataset on disk, replayed row by row in a shuffled order that a seed fixes, for ever."""

import random
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_agent.errors import SourceWrong
from edge_agent.runtimes.session import Array
from edge_agent.sources.rows import DTYPES
from edge_agent.sources.source import Record, Records
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest, Tensor

_PREFIX = "inputs/"
_LABELS = "labels"


class ReplaySource:
    """A `Source` of the rows of an .npz that holds `inputs/<tensor name>` arrays, and may hold their true `labels`."""

    def __init__(self, model: str, path: Path, rate_per_second: float, seed: int) -> None:
        self.model = model
        self.rate_per_second = rate_per_second
        self.trouble: Because | None = None
        self._path = path
        self._seed = seed

    def records(self, manifest: Manifest) -> Records:
        arrays, labels = self._load(manifest.inputs)
        return self._shuffled(arrays, self._truths(labels, manifest, len(next(iter(arrays.values())))))

    def close(self) -> None:
        """The arrays go with the records."""

    def _truths(self, labels: Array | None, manifest: Manifest, rows: int) -> list[tuple[str, ...]]:
        """The true label of each row. Whole numbers count the model's labels from 0; text names them. A record that no
        label fits is replayed all the same, and said: it is inference that matters."""
        self.trouble = None
        if labels is None or not manifest.labels:
            return [()] * rows
        if labels.shape != (rows,) or labels.dtype.kind not in "iuU":
            return self._unlabelled(
                f"is {labels.dtype}{list(labels.shape)}, and {rows} numbers or names are needed", rows
            )
        named = dict(enumerate(manifest.labels)) if labels.dtype.kind in "iu" else {one: one for one in manifest.labels}
        known: list[str | None] = [named.get(label) for label in labels.tolist()]
        if strange := [label for label, name in zip(labels.tolist(), known, strict=True) if name is None]:
            return self._unlabelled(
                f"has {strange[0]!r}, and model {self.model} gives {', '.join(manifest.labels)}", rows
            )
        return [(label,) for label in known if label is not None]

    def _unlabelled(self, why: str, rows: int) -> list[tuple[str, ...]]:
        sentence = f"`{_LABELS}` in {self._path} {why}: its records are replayed without."
        self.trouble = Because("labels-unusable", sentence)
        return [()] * rows

    def _shuffled(self, arrays: Mapping[str, Array], truths: Sequence[tuple[str, ...]]) -> Records:
        # Not for secrets: the same seed must give the same order everywhere.
        order = random.Random(self._seed)  # noqa: S311
        rows = list(range(len(truths)))
        while True:
            order.shuffle(rows)
            for row in rows:
                yield Record({name: array[row : row + 1] for name, array in arrays.items()}, truth=truths[row])

    def _load(self, tensors: tuple[Tensor, ...]) -> tuple[dict[str, Array], Array | None]:
        try:
            with np.load(self._path, allow_pickle=False) as file:
                names = [name.removeprefix(_PREFIX) for name in file.files if name.startswith(_PREFIX)]
                if missing := [one.name for one in tensors if one.name not in names]:
                    raise SourceWrong(
                        f"{self._path} has no {', '.join(_PREFIX + name for name in missing)}, and model {self.model} "
                        f"needs it; it has {', '.join(file.files) or 'nothing'}.",
                        "Name the arrays after the model's inputs.",
                    )
                labels = file[_LABELS] if _LABELS in file.files else None
                arrays = {one.name: self._checked(one, file[_PREFIX + one.name]) for one in tensors}
        except FileNotFoundError as error:
            raise SourceWrong(f"There is no {self._path} to replay.", "Set `path` of the source.") from error
        # RuntimeError: an encrypted member; NotImplementedError, a kind of it: an unknown compression.
        except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise SourceWrong(f"{self._path} cannot be replayed: {error}.", "Write it with numpy.savez.") from error
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise SourceWrong(f"The arrays in {self._path} need the same number of rows, and have {lengths}.")
        return arrays, labels

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

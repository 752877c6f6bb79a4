"""The port between the catalogue and the compiler: what a recipe declares, and what it gives.

A recipe is a folder of `models/catalog/` with two files. `recipe.toml` is the `Card`: all that can be declared.
`recipe.py` has a class `Recipe` that is made from the card and does what must be code: load data, train, export.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Told one sentence a step, for a person who waits.
Progress = Callable[[str], None]


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a compiled artifact may lose against its source on held-out data, both as shares of the records."""

    accuracy_loss: float
    min_agreement: float


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a recipe declares. `labels` are in the order of the model's outputs."""

    name: str
    title: str
    about: str
    source: str
    """Where the data comes from, and under which terms."""
    task: str
    labels: tuple[str, ...]
    probabilities: str
    """The output that holds probabilities; empty when output 0 holds logits."""
    opset: int
    budget: Budget
    calibration_records: int
    golden_samples: int
    settings: dict[str, Any] = {}
    """The recipe's own: what its code reads."""


@dataclass(frozen=True)
class Data:
    """Records of a model: every input has one row a record, and `labels` one index into the card's labels."""

    inputs: "Mapping[str, NDArray[Any]]"
    labels: "NDArray[np.int64]"

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: "NDArray[np.int64]") -> "Data":
        """The records at `rows`."""
        return Data({name: values[rows] for name, values in self.inputs.items()}, self.labels[rows])


@dataclass(frozen=True)
class Options:
    """What a person may ask of a build. `train_images` None means all that the recipe has."""

    seed: int = 0
    train_images: int | None = None


@dataclass(frozen=True)
class Source:
    """A trained source model: float ONNX, what it learnt from, and what it has never seen."""

    onnx: bytes
    training: Data
    held_out: Data
    packages: tuple[str, ...]
    """The distributions that made it; their versions go into the provenance."""


class Recipe(Protocol):
    """Code of one model. Equal options give equal bytes on one machine."""

    def train(self, options: Options, progress: Progress) -> Source:
        """The source model. Raises `RecipeWrong` for options that make no sense."""
        ...

    def held_out(self) -> Data:
        """The records that no training ever sees, whatever the options: for evidence, and to replay."""
        ...

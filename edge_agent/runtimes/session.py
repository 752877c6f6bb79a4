"""What every model runtime gives: a session that maps named arrays to named arrays."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Tensor

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]
else:
    Array = Any


class InferenceFailed(VedetteError):
    """The runtime could not answer these inputs. Other inputs may be answered."""

    code = "inference-failed"


class InputUnfit(InferenceFailed):
    """An input holds what no model of this runtime takes, such as a string that is no text: the caller's fault."""

    code = "input-unfit"


class Session(Protocol):
    """One artifact, loaded. `run` may be called by several threads at once, and by none after `close`.

    Strings (dtype BYTES) are object arrays of `bytes`, and come back as such. Inputs may hold `str`, too, which
    stands for its UTF-8.
    """

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name for `inputs`, which have the shapes and dtypes of the signature.

        The arrays are the caller's: the session keeps none of them. Raises `InferenceFailed`; `InputUnfit` when an
        input can be no model's.
        """
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...


class Bound(Protocol):
    """A run that always reads the same arrays and writes the same. For one thread at a time."""

    def run(self) -> None:
        """Writes the outputs for what the inputs hold now. Raises `InferenceFailed`, also when outputs of other shapes
        would come of them; then nothing is promised of what the arrays hold."""
        ...


@runtime_checkable
class Binds(Protocol):
    """A `Session` that can be told once which arrays its runs read and write."""

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Bound | None:
        """A run that reads `inputs` and writes `outputs`, which are all that the session has, of numbers, each in one
        piece. It may be used for as long as the session. None where that cannot be had."""
        ...


@runtime_checkable
class BearsChange(Protocol):
    """A `Session` that knows whether somebody may write to its inputs while it runs."""

    def bears_change(self) -> bool:
        """Whether nothing worse than a wrong answer comes of that."""
        ...

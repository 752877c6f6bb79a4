"""What a source is: records for a model, at its own pace, each handed over once the one before is dealt with."""

from collections.abc import Callable, Generator, Mapping
from typing import Protocol, TypeAlias

import msgspec

from edge_agent.runtimes.session import Array
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest

#: A source that has nothing says so at least this often, so that a quiet one can be told from a stuck one.
GLANCE_SECONDS = 1.0


def _nobody(answered: bool) -> None:
    """Nobody waits to hear what became of the record."""


class Record(msgspec.Struct, frozen=True):
    """One row for each input of the model, by the input's name."""

    inputs: Mapping[str, Array]
    done: Callable[[bool], None] = _nobody
    """To be called once when the model has answered (True) or failed at it (False), before the next record is asked
    for; it raises nothing. A record that is never done was not dealt with, and comes again."""
    truth: tuple[str, ...] = ()
    """Its true label, one of the model's, where the source knows it."""


Records: TypeAlias = Generator[Record | None, None, None]


class Source(Protocol):
    """Feeds one model. What it holds back while nobody asks is its back-pressure: it never reads ahead of the model
    without bound."""

    model: str
    """Whose inputs it gives."""
    rate_per_second: float
    """How many records it gives a second, at most; `inf` for as many as there are."""

    @property
    def trouble(self) -> Because | None:
        """What is wrong with it although it goes on."""

    def records(self, manifest: Manifest) -> Records:
        """Endless records for the model that `manifest` describes; None when there is none for now, which it says
        after `GLANCE_SECONDS` at the latest. They are closed before others are asked for.

        Raises `SourceWrong`, at once or at any record, when it has nothing that this model can take.
        """

    def close(self) -> None:
        """Gives back what it holds. Nothing is asked of it afterwards."""

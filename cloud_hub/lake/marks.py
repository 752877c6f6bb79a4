"""Decides what of a batch is new, what is a repeat, and what is missing. No I/O, no clock, no randomness.

A mark is the highest sequence of one boot in one lane that is in the lake. Rows and the marks that they lead to go
into one commit, so that a mark never speaks of a row that is not there, nor a row of a mark that is not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fleet_contract.telemetry import Batch, Record


class Boot(NamedTuple):
    """One start of the agent on one device: whose sequences a mark counts."""

    device: str
    boot: str

    @property
    def app_id(self) -> str:
        """The boot's name in the lake's log. No device id holds a slash."""
        return f"{self.device}/{self.boot}"

    @classmethod
    def of_app_id(cls, app_id: str) -> "Boot | None":
        """The boot that `app_id` names, or None for another application's."""
        device, slash, boot = app_id.partition("/")
        return cls(device, boot) if slash and device and boot else None


@dataclass(frozen=True)
class Take:
    """These records are new, and follow what the lake has."""

    records: tuple[Record, ...]


@dataclass(frozen=True)
class Repeat:
    """The lake has all of it: its answer got lost, or overtook nothing."""


@dataclass(frozen=True)
class Gap:
    """Something between the mark and this batch has not come. To take it would lose that for good."""


def decide(mark: int, batch: Batch) -> Take | Repeat | Gap:
    """What `batch` is to a lake that has its boot up to `mark`, 0 for nothing."""
    if batch.after > mark:
        return Gap()
    new = tuple(record for record in batch.records if record.sequence > mark)
    return Take(new) if new else Repeat()


@dataclass(frozen=True)
class Round:
    """What one commit does: the `rows` that it adds, the `marks` that it moves.

    `answers` names every boot that sent something and the mark that it is told, once the commit is safe. That one
    answer acks what was new, acks a repeat again, and tells of a gap.
    """

    rows: tuple[tuple[Boot, Record], ...] = ()
    marks: Mapping[Boot, int] = field(default_factory=dict)
    answers: Mapping[Boot, int] = field(default_factory=dict)
    repeats: int = 0
    gaps: int = 0


def plan(known: Mapping[Boot, int], batches: Iterable[Batch]) -> Round:
    """The round that takes `batches`, of one lane and in order of arrival, into a lake with the marks `known`."""
    rows: list[tuple[Boot, Record]] = []
    moved: dict[Boot, int] = {}
    answers: dict[Boot, int] = {}
    repeats = gaps = 0
    for batch in batches:
        boot = Boot(batch.device, batch.boot)
        mark = moved.get(boot, known.get(boot, 0))
        match decide(mark, batch):
            case Take(records):
                rows.extend((boot, record) for record in records)
                mark = moved[boot] = records[-1].sequence
            case Repeat():
                repeats += 1
            case Gap():
                gaps += 1
        answers[boot] = mark
    return Round(tuple(rows), moved, answers, repeats, gaps)

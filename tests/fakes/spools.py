"""Spools as their tests need them: what is put into them, what is in them, and full ones."""

import errno
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, assert_never

import msgspec
import pytest

from edge_agent.telemetry.spool import Spool
from fleet_contract.telemetry import Event, Lane, Record, Sample, Window
from tests.fakes.windows import a_window

MEGABYTE = 1024 * 1024
OWNER = "default.press-1"


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def a_large_window(number: int) -> Window:
    """One of some 6 kB that hardly compresses."""
    noise = random.Random(number)
    labels = {f"{noise.getrandbits(64):x}": noise.getrandbits(20) for _ in range(300)}
    return msgspec.structs.replace(a_window(), predictions=labels)


def a_very_large_window() -> Window:
    """More than a spool with a megabyte puts into one segment."""
    return msgspec.structs.replace(a_window(), predictions={f"{number:025x}": 1 for number in range(3_000)})


def an_event(number: int = 1, sentence: str = "It proves itself.") -> Event:
    return Event(0, 1_000 + number, "phase", "on-trial", sentence, "digits", "default", number, "trial")


def a_long_event(number: int) -> Event:
    noise = random.Random(number)
    return an_event(number, "".join(f"{noise.getrandbits(64):x}" for _ in range(50)))


def a_sample(number: int = 1, reason: str = "random") -> Sample:
    """One of some 300 bytes, of which a hash of its own does not compress."""
    name = hashlib.sha256(str(number).encode()).hexdigest()
    return Sample(0, 1_000 + number, "digits", number, "sha256:" + "0" * 64, reason, name, 300 + number, "7", 0.5, 0.25)


def keep(spool: Spool, record: Record) -> bool:
    """Keeps `record` in its lane."""
    match record:
        case Window():
            return spool.append(record)
        case Event():
            return spool.note(record)
        case Sample():
            return spool.keep(record)
        case _:
            assert_never(record)


def a_record(lane: Lane, number: int = 1) -> Record:
    """A small one whose version is `number`."""
    match lane:
        case Lane.WINDOWS:
            return a_window(version=number)
        case Lane.EVENTS:
            return an_event(number)
        case Lane.SAMPLES:
            return a_sample(number)
        case _:
            assert_never(lane)


def sequences(spool: Spool, boot: str, since: int = 0, lane: Lane = Lane.WINDOWS) -> list[int]:
    return [record.sequence for record in spool.read(boot, since, 100 * MEGABYTE, lane=lane)]


def files(folder: Path, lane: Lane = Lane.WINDOWS) -> list[Path]:
    """The files of the lane."""
    return sorted((folder / lane).iterdir())


def sealed(folder: Path, count: int = 400, clock: Callable[[], float] = monotonic) -> tuple[Spool, list[Path]]:
    """A spool with more than one segment's worth of windows, and its sealed segments."""
    spool = Spool(folder, OWNER, "b1", MEGABYTE, clock)
    for number in range(count):
        assert spool.append(a_window(number, labels=30))
    return spool, [path for path in files(folder) if path.suffix == ".sealed"]


def codes(spool: Spool) -> list[str]:
    return [one.code for one in spool.troubles()]


def ill(monkeypatch: pytest.MonkeyPatch, number: int = errno.EIO, *, heads: bool = True) -> set[Path]:
    """Files that are put into it cannot be read for as long as they are in it; without `heads`, that can be read."""
    files = set[Path]()
    for call in ("open", "read_bytes") if heads else ("read_bytes",):
        real = getattr(Path, call)

        def read(path: Path, *arguments: Any, real: Any = real, **named: Any) -> Any:
            if path in files:
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *arguments, **named)

        monkeypatch.setattr(Path, call, read)
    return files

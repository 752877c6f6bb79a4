"""How the demo tells its story: one block a step. Live on a terminal, plain lines anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.status import Status


class Stage(Protocol):
    """Where the story is told."""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One block of the story."""
        ...

    def say(self, text: str, style: str = "") -> None:
        """A line that stays. `style` is a word of rich's, or empty."""
        ...

    def note(self, text: str) -> None:
        """What is waited for now; the next note or line replaces it."""
        ...


def open_stage(stream: TextIO) -> Stage:
    """The stage that fits `stream`."""
    return TerminalStage(stream) if stream.isatty() else PlainStage(stream)


class PlainStage:
    """Lines with the seconds since the start; a note is said only when it is a new one, and not too often."""

    _NOTE_SECONDS = 5.0

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._number = 0
        self._note = ""
        self._noted_at = 0.0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self._number += 1
        self._noted_at = time.monotonic()
        self._write(f"{self._number}. {title}")
        yield

    def say(self, text: str, style: str = "") -> None:  # noqa: ARG002  (a log has no colours)
        self._write(f"   {text}")

    def note(self, text: str) -> None:
        if text != self._note and time.monotonic() - self._noted_at >= self._NOTE_SECONDS:
            self._note, self._noted_at = text, time.monotonic()
            self._write(f"   ... {text}")

    def _write(self, text: str) -> None:
        self._stream.write(f"{time.monotonic() - self._started:6.1f}s  {text}\n")
        self._stream.flush()


class TerminalStage:
    """Headings, lines, and a spinner with what is waited for below them."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console: Console = Console(file=stream, highlight=False)
        self._number = 0
        self._status: Status | None = None

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self._number += 1
        started = time.monotonic()
        self._console.print(f"\n[bold cyan]{self._number}[/]  [bold]{title}[/]")
        self._status = self._console.status("", spinner="dots")
        try:
            with self._status:
                yield
        finally:
            self._status = None
        self.say(f"{time.monotonic() - started:.1f} s", "dim")

    def say(self, text: str, style: str = "") -> None:
        from rich.padding import Padding
        from rich.text import Text

        self._console.print(Padding(Text(text, style), (0, 0, 0, 3)))

    def note(self, text: str) -> None:
        from rich.text import Text

        if self._status is not None:
            # One line: a spinner that wraps jumps about.
            line = Text(text, "dim")
            line.truncate(max(10, self._console.width - 4), overflow="ellipsis")
            self._status.update(line)

"""The captures on a device's disk, told to a person: no agent need run."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge_agent.capture.about import MEMBER, About
from edge_agent.capture.files import FileName, listed
from edge_agent.errors import AgentError, StateUnusable

#: What is known of a record fits into much less; a damaged file may claim anything.
_MOST_BYTES = 64 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEADS = ("TIME (UTC)", "MODEL", "VERSION", "REASON", "LABEL", "CONFIDENCE", "BYTES", "FILE")


class CaptureDamaged(AgentError):
    """This file does not hold what was written to it."""

    code = "capture-damaged"


class Capture(NamedTuple):
    """A file of `size_bytes`, and what is known of the record in it; None where it is damaged or cannot be read."""

    name: FileName
    path: Path
    size_bytes: int
    about: About | None


def look(folder: Path) -> list[Capture]:
    """The captures in `folder`, the oldest first. Raises `StateUnusable`."""
    try:
        return list(_looked_at(folder))
    except OSError as error:
        raise StateUnusable(
            f"Cannot read the captures in {folder}: {error.strerror}.", "Run as root, or as the user who owns it."
        ) from error


def told(folder: Path, captures: Sequence[Capture]) -> str:
    """The text of `vedette-agent captures`."""
    if not captures:
        return f"No captures in {folder}. Inputs are kept where [capture] max_bytes is set in the agent's config.\n"
    lines = [_HEADS, *(_line(one) for one in captures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    # Numbers end below each other.
    to_right = (False, False, True, False, False, True, True, False)
    texts = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in lines
    ]
    total = sum(one.size_bytes for one in captures)
    return "\n".join([*texts, f"{len(captures):,} captures, {total:,} bytes, in {folder}."]) + "\n"


def read_about(path: Path) -> About:
    """What is known of the record in `path`. Raises `CaptureDamaged` or OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (size := archive.getinfo(MEMBER).file_size) > _MOST_BYTES:
                raise CaptureDamaged(f"{path} says that its {MEMBER} has {size} bytes.")
            return msgspec.json.decode(archive.read(MEMBER), type=About)
    # RuntimeError: an encrypted member; NotImplementedError, a kind of it: an unknown compression.
    except (KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise CaptureDamaged(f"{path} does not hold what was written to it: {error}.") from error


def _looked_at(folder: Path) -> Iterator[Capture]:
    for name, path in listed(folder):
        # A running agent lets the oldest go.
        with contextlib.suppress(FileNotFoundError):
            yield Capture(name, path, path.stat().st_size, _about_or_none(path))


def _about_or_none(path: Path) -> About | None:
    try:
        return read_about(path)
    except CaptureDamaged:
        return None
    except (FileNotFoundError, PermissionError):
        raise
    except OSError:
        # One bad block must not hide the other files.
        return None


def _line(one: Capture) -> tuple[str, ...]:
    file = f"{one.name.number:010}-{one.name.capture[:12]}…"
    if one.about is None:
        return ("?", "?", "?", "damaged", "", "", f"{one.size_bytes:,}", file)
    about = one.about
    beside = f" (version {about.beside_version}: {about.beside})" if about.beside else ""
    return (
        _when(about.at_ms),
        _plain(about.model),
        str(about.version),
        _plain(about.reason),
        _plain(f"{about.label}{beside}"),
        f"{about.confidence:.1%}" if about.label else "",
        f"{one.size_bytes:,}",
        file,
    )


def _when(at_ms: int) -> str:
    try:
        return f"{_EPOCH + timedelta(milliseconds=at_ms):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        # A clock may be that wrong.
        return f"{at_ms} ms"


def _plain(text: str) -> str:
    # What a terminal would take for an order.
    return "".join(letter if letter.isprintable() else "?" for letter in text)

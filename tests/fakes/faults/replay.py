"""Crash images on a real ext4: mounted, looked at by a real updater, and thrown away."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.blob_server import BlobServer
from tests.fakes.faults.block_log import Write
from tests.fakes.faults.images import BLOCK_BYTES, CrashImage, crash_image
from tests.fakes.faults.laws import examine
from tests.fakes.faults.mounts import loop_device, mounted
from tests.fakes.faults.recording import DISK_BYTES, Recording

#: Images that differ are found by trying, so many times as many as are wanted.
_MOST_TRIES = 20


@dataclass(frozen=True)
class Violation:
    """A law that was broken, and how to see it again."""

    recipe: str
    what: str


class Bench:
    """One file, one loop device and one mount point for all images of a recording."""

    def __init__(self, folder: Path, first: Path) -> None:
        self._folder = folder
        self._file = folder / "image"
        self._first = _what_is_not_zero(first.read_bytes())
        with self._file.open("wb") as file:
            file.truncate(DISK_BYTES)

    @contextmanager
    def open(self) -> Iterator["Bench"]:
        with loop_device(self._file) as self._device:
            yield self

    def examine(self, image: CrashImage, server: BlobServer, target: int) -> str | None:
        """The law that is broken on a disk that holds `image`, in a sentence, or None."""
        with self._file.open("r+b", buffering=0) as file:
            file.truncate(0)
            file.truncate(DISK_BYTES)
            for one in (*self._first, *image.writes):
                file.seek(one.offset)
                file.write(one.data)
        try:
            with mounted(self._device, self._folder / "mounted", "ext4") as root:
                return examine(root / "models", server, image.claims, target)
        except OSError as error:
            return f"the disk cannot be mounted: {error}"


@dataclass(frozen=True)
class Replayed:
    """The images that were looked at, none twice, and what broke."""

    images: int
    violations: tuple[Violation, ...]


def replay(
    folder: Path,
    recording: Recording,
    server: BlobServer,
    *,
    seed: int,
    images: int,
    stop_after: int = 5,
) -> Replayed:
    """Looks at `images` crash images of `recording` that differ, chosen by `seed`; ends early after `stop_after`
    violations."""
    names: set[str] = set()
    violations: list[Violation] = []
    with Bench(folder, recording.first).open() as bench:
        for number in range(images * _MOST_TRIES):
            dice = random.Random(f"{seed} {number}")
            image = crash_image(recording.log, dice.randint(0, len(recording.log)), dice)
            if image.name in names:
                continue
            names.add(image.name)
            broken = bench.examine(image, server, dice.randint(1, 3))
            if broken is not None:
                recipe = f"recording {recording.seed} ({recording.options or 'defaults'}), image {number}"
                violations.append(Violation(recipe, broken))
            if len(names) == images or len(violations) == stop_after:
                break
    return Replayed(len(names), tuple(violations))


def _what_is_not_zero(data: bytes) -> tuple[Write, ...]:
    empty = bytes(BLOCK_BYTES)
    return tuple(
        Write(start, data[start : start + BLOCK_BYTES])
        for start in range(0, len(data), BLOCK_BYTES)
        if data[start : start + BLOCK_BYTES] != empty
    )

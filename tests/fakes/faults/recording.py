"""Updates of a real updater on a real ext4, whose disk writes down what is written to it."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.store.disk import Disk
from tests.fakes.blob_server import BlobServer
from tests.fakes.faults.block_log import Entry, logged_disk, read_log
from tests.fakes.faults.images import mark
from tests.fakes.faults.mounts import loop_device, make_ext4, mounted, write_back
from tests.fakes.faults.watched import Claims, Watched, Witness, release

#: Updates leave 16 MiB to others, so that a disk has to be larger.
DISK_BYTES = 40 * 1024 * 1024
#: What file systems are mounted with: the default, and what keeps less order between data and names.
MOUNT_OPTIONS = ("", "noauto_da_alloc", "data=writeback,noauto_da_alloc", "nodelalloc", "data=journal", "commit=1")

#: Where in the artifact of version 2 the bad block is.
BAD_AT = 100_000


@dataclass(frozen=True)
class Recording:
    """The disk's `first` content, what was written to it since, and how it was."""

    first: Path
    log: tuple[Entry, ...]
    seed: int
    options: str
    bad_block: bool


def record(folder: Path, server: BlobServer, seed: int, disk: Callable[[], Disk] = Disk) -> Recording:
    """Carries out three updates and a restart in between, on a file system of its own below `folder`. Every other
    round of seeds through the mount options, a block of an artifact cannot be written the first time."""
    dice = random.Random(seed)
    first, log = folder / "first", folder / "log"
    rounds, turn = divmod(seed, len(MOUNT_OPTIONS))
    options = MOUNT_OPTIONS[turn]
    # Where data goes through the file system's own journal, a bad block ends the file system.
    bad_block = rounds % 2 == 1 and "data=journal" not in options
    bad = release(2).artifact[BAD_AT : BAD_AT + 32] if bad_block else b""
    folder.mkdir(parents=True, exist_ok=True)
    make_ext4(first, DISK_BYTES)
    with (
        logged_disk(folder / "logged", first, log, bad) as (file, marks),
        loop_device(file) as device,
        mounted(device, folder / "mounted", "ext4", options) as root,
        _now_and_then(dice, lambda: write_back(root, dice.random() < 0.5)),
    ):
        claims = Claims()
        for versions in ((1, 2), (3,)):
            claims = _update(root / "models", server, disk(), marks, versions, claims, dice)
    return Recording(first, tuple(read_log(log)), seed, options, bad_block)


def _update(
    folder: Path,
    server: BlobServer,
    disk: Disk,
    marks: Path,
    versions: tuple[int, ...],
    claims: Claims,
    dice: random.Random,
) -> Claims:
    """One start of the updater, which carries out orders of these versions. What it has said by its end."""
    with Watched(folder, server, disk) as device:
        witness = Witness(device, claims, lambda said: _mark(marks, said))
        for version in versions:
            witness.ordered(version)
            # Some downloads come in pieces.
            server.cut_after = dice.choice((None, None, 70_000))
            device.order(version, generation=version)
            device.wait_until_settled(version)
        server.cut_after = None
        # Nothing answers after a stop, and a device that has stopped claims nothing new.
        witness.close(lambda: None)
    return witness.claims


def _mark(marks: Path, claims: Claims) -> None:
    marks.write_text(mark(claims))


@contextmanager
def _now_and_then(dice: random.Random, do: Callable[[], None]) -> Iterator[None]:
    """Does it at odd moments on a thread of its own: a kernel writes back whenever it likes."""
    stop = threading.Event()
    seconds = [dice.uniform(0.0, 0.03) for _ in range(1_000)]

    def run() -> None:
        while not stop.wait(seconds.pop() if seconds else 0.1):
            do()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()

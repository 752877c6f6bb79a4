"""What is known of one file of the spool without reading it again: whose it is, and which records are in it."""

import contextlib
import logging
from pathlib import Path

import msgspec

from edge_agent.durable import asked_twice, read_again
from edge_agent.telemetry.log import Kind, scan
from edge_agent.telemetry.sealed import SegmentDamaged, read_body, read_head
from edge_agent.telemetry.unread import Unread
from fleet_contract.errors import Undecodable
from fleet_contract.telemetry import decode_batch

_log = logging.getLogger(__name__)
LOG, SEALED = ".log", ".sealed"


class Segment(msgspec.Struct):
    """One file of one lane: written by the agent start `boot` of the device `owner`.

    `runs` are the sequences in it, from and to, in order. `raw_bytes` is what they take in a log. In a log,
    what follows sequence `hint[0]` starts at byte `hint[1]`. `unread`: when it could last not be read.
    """

    path: Path
    number: int
    boot: str
    owner: str
    runs: list[tuple[int, int]] = []
    size_bytes: int = 0
    raw_bytes: int = 0
    hint: tuple[int, int] = (0, 0)
    unread: Unread | None = None

    @property
    def sealed(self) -> bool:
        return self.path.suffix == SEALED

    @property
    def last(self) -> int:
        """The newest sequence in it, 0 when there is none."""
        return self.runs[-1][1] if self.runs else 0

    def waiting(self, mark: int) -> int:
        """How many records are newer than `mark`."""
        return sum(last - max(first - 1, mark) for first, last in self.runs if last > mark)

    def add(self, sequence: int) -> None:
        """One more record is in it."""
        if self.runs and self.runs[-1][1] == sequence - 1:
            self.runs[-1] = (self.runs[-1][0], sequence)
        else:
            self.runs.append((sequence, sequence))

    def keep(self, since: int, found: list[int]) -> int:
        """After `since`, only `found` can be read: gives how many are lost."""
        before = self.waiting(since)
        if before == len(found):
            return 0
        self.runs = [(first, min(last, since)) for first, last in self.runs if first <= since]
        for sequence in found:
            self.add(sequence)
        return before - len(found)


class Loaded(msgspec.Struct):
    """What a segment says beside its records, and how many of those are damaged."""

    segment: Segment
    marks: dict[str, int] = {}
    dropped: dict[str, int] = {}
    damaged: int = 0


def path_of(folder: Path, number: int, boot: str, owner: str, suffix: str) -> Path:
    """Where a segment is. No part of its name has a hyphen before the owner's."""
    return folder / f"{number:010d}-{boot}-{owner}{suffix}"


def segments_in(folder: Path) -> list[Path]:
    """The segments in `folder`, oldest first; a log that is sealed already comes before its sealed form.
    Raises OSError."""
    # Not by a glob, which takes a folder that it may not read for an empty one.
    found = [path for path in folder.iterdir() if path.suffix in (LOG, SEALED) and path.name.count("-") >= 2]
    return sorted(path for path in found if path.name.partition("-")[0].isdecimal())


def load(path: Path) -> Loaded:
    """What is known of the segment at `path`. Raises OSError when it cannot be read now: nothing in it is lost."""
    number, boot, owner = path.stem.split("-", 2)
    loaded = Loaded(Segment(path, int(number), boot, owner))
    try:
        loaded.segment.size_bytes = asked_twice(path.stat).st_size
        if loaded.segment.sealed:
            _load_sealed(loaded)
        else:
            _load_log(loaded)
    except (SegmentDamaged, Undecodable) as error:
        # How many records it held, nobody knows any more.
        _log.error("%s", error)
        loaded.damaged += 1
    except FileNotFoundError as error:
        _log.error("cannot read %s: %s", path, error.strerror)
        loaded.damaged += 1
    return loaded


def load_either(path: Path) -> Loaded:
    """What is known of the segment at `path`, where a crash between the two steps of sealing may have left its log and
    its sealed form: which of them is whole stays. Raises OSError when neither can be read now, and then both do."""
    twin = path.with_suffix(SEALED)
    if path.suffix == SEALED:
        return load(path)
    if is_whole(twin):
        discard(path)
        return load(twin)
    loaded = load(path)
    discard(twin)
    return loaded


def size_of_either(path: Path) -> int:
    """What the segment at `path` takes with its sealed form, as far as the disk tells."""
    total = 0
    for one in {path, path.with_suffix(SEALED)}:
        with contextlib.suppress(OSError):
            total += one.stat().st_size
    return total


def discard_either(path: Path) -> None:
    """Removes the segment at `path`, and its sealed form."""
    discard(path)
    discard(path.with_suffix(SEALED))


def discard(path: Path) -> None:
    """Removes the file if it is there. One that stays takes room, and no more."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("cannot remove %s: %s", path, error.strerror)


def is_whole(path: Path) -> bool:
    """Whether the sealed segment at `path` can be read to its end."""
    try:
        read_body(path)
    except (SegmentDamaged, OSError):
        return False
    return True


def _load_sealed(loaded: Loaded) -> None:
    segment, head = loaded.segment, read_head(loaded.segment.path)
    segment.raw_bytes = head.raw_bytes
    if head.records == head.last - head.first + 1:
        segment.runs = [(head.first, head.last)]
    else:
        for record in decode_batch(read_body(segment.path)).records:
            segment.add(record.sequence)


def _load_log(loaded: Loaded) -> None:
    segment, data = loaded.segment, read_again(loaded.segment.path)
    end = 0
    for placed in scan(data):
        if placed.start > end:
            _log.error("%s is damaged: %d bytes before byte %d", segment.path, placed.start - end, placed.start)
        end = placed.end
        kind, number, body = placed.entry
        match kind:
            case Kind.RECORD:
                # An append gives each record the next sequence, and a write that fails ends the file.
                loaded.damaged += max(0, number - segment.last - 1) if segment.runs else 0
                segment.add(number)
                segment.raw_bytes += placed.end - placed.start
            case Kind.MARK:
                marked = body.decode()
                loaded.marks[marked] = max(loaded.marks.get(marked, 0), number)
            case Kind.DROPPED:
                reason = body.decode()
                loaded.dropped[reason] = max(loaded.dropped.get(reason, 0), number)
    if end < len(data):
        _log.warning("%s is torn: its last %d bytes are lost", segment.path, len(data) - end)

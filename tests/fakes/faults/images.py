"""Crash images: what a disk may hold after its power was cut. No I/O, no clock; the dice are handed in.

All that was written before the last flush is there; of what was written after it, any part may be, block by block,
whatever the order it was written in. A block of 4 KiB is whole or not there: ext4 itself asks that of a disk.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from tests.fakes.faults.block_log import Entry, Flush, Mark, Write
from tests.fakes.faults.watched import Claims

BLOCK_BYTES = 4096


@dataclass(frozen=True)
class CrashImage:
    """What is on the disk, as writes on top of its first content, and what the device had said by then.

    `name` tells images with another content apart.
    """

    position: int
    writes: tuple[Write, ...]
    claims: Claims
    name: str


def crash_image(log: Sequence[Entry], position: int, dice: random.Random) -> CrashImage:
    """The disk after a power cut when the first `position` entries of `log` had been written."""
    flushed = max((n + 1 for n, one in enumerate(log[:position]) if isinstance(one, Flush)), default=0)
    safe = [one for one in log[:flushed] if isinstance(one, Write)]
    pending = [one for one in log[flushed:position] if isinstance(one, Write)]
    kept = _some(pending, dice)
    hasher = hashlib.sha256(str(flushed).encode())
    for one in kept:
        hasher.update(f"{one.offset} {len(one.data)} ".encode())
    return CrashImage(position, (*safe, *kept), claims_by(log[:position]), hasher.hexdigest())


def claims_by(log: Sequence[Entry]) -> Claims:
    """The newest of the marks in `log`."""
    claims = Claims()
    for one in log:
        if isinstance(one, Mark):
            claims = replace(claims, **json.loads(one.text))
    return claims


def mark(claims: Claims) -> str:
    """The mark that says so."""
    return json.dumps(asdict(claims))


def _some(pending: list[Write], dice: random.Random) -> list[Write]:
    """What made it to the disk: all, none, or some, each block by its own luck."""
    fashion = dice.random()
    if fashion < 0.05:
        return pending
    if fashion < 0.1:
        return []
    blocks = [
        Write(one.offset + start, one.data[start : start + BLOCK_BYTES])
        for one in pending
        for start in range(0, len(one.data), BLOCK_BYTES)
    ]
    luck = dice.random()
    return [block for block in blocks if dice.random() < luck]

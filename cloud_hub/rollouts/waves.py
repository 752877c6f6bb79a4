"""Which devices a wave covers: one stable number a device and rollout, and one threshold. Pure.

A rollout never lists its devices. A device's bucket is a hash of the rollout's salt and its id, so each rollout has
other canaries, a wave only moves one number, and a device that joins later obeys it too.
"""

import hashlib
from collections.abc import Iterable
from heapq import nsmallest

#: One more than the largest bucket. 53 bits: exact in JSON and JavaScript, and no two of a million devices share one.
BUCKETS = 2**53


def bucket(salt: str, device: str) -> int:
    """The place of `device` in a rollout with `salt`: 0 to BUCKETS - 1, for ever the same, evenly spread."""
    return int.from_bytes(hashlib.blake2b(f"{salt}/{device}".encode(), digest_size=8).digest(), "big") >> 11


def reach(salt: str, devices: Iterable[str], count: int) -> int:
    """The exposure that covers exactly `count` of `devices` (or all, when there are fewer), and as little as that."""
    if count <= 0:
        return 0
    lowest = nsmallest(count, (bucket(salt, device) for device in devices))
    return lowest[-1] + 1 if lowest else 0

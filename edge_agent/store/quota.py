"""Decides whether one more release fits on the disk's share for artifacts. No I/O, no clock.

What runs and what it would fall back on are never given up for it. Of the rest, what another order was promised stays
until that order is done, and what nobody was promised goes first.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from edge_agent.failures import ArtifactRejected, TryLater
from fleet_contract.because import Because


class Quota(msgspec.Struct, frozen=True):
    """At most `max_bytes` for artifacts and golden sets together; 0 is no bound."""

    max_bytes: int = 0

    def room(
        self,
        wanted: Mapping[str, int],
        proven: AbstractSet[str],
        promised: Mapping[str, int],
        on_disk: Mapping[str, int],
    ) -> list[str]:
        """What must be evicted before `wanted` may come, in this order; all sizes in bytes, by digest.

        `on_disk` is what is there, in part or whole; of that, `proven` never goes, and `promised` is to become as
        large as it says. Raises `ArtifactRejected`, "quota-exceeded", when what is proven leaves too little whatever
        else goes; `TryLater`, "quota-full", when other orders must be done first.
        """
        if not self.max_bytes:
            return []
        needed = sum(size for digest, size in wanted.items() if digest not in proven)
        kept = sum(size for digest, size in on_disk.items() if digest in proven)
        if needed and kept + needed > self.max_bytes:
            raise ArtifactRejected(
                f"It needs {needed} bytes, artifacts may have {self.max_bytes} ([disk] artifacts_max_bytes), and "
                f"{kept} of them are what runs here and what it would fall back on.",
                "Allow more on this device and ask it to try again, or build a smaller version.",
                code="quota-exceeded",
            )
        others = {one: size for one, size in promised.items() if one not in proven and one not in wanted}
        taken = sum(max(size, on_disk.get(one, 0)) for one, size in others.items())
        if needed and kept + taken + needed > self.max_bytes:
            raise TryLater(
                f"It needs {needed} bytes, artifacts may have {self.max_bytes} ([disk] artifacts_max_bytes), {kept} "
                f"are what runs here and what it would fall back on, and {taken} are for other orders.",
                "It goes on by itself when they are done.",
                code="quota-full",
            )
        free = self.max_bytes - kept - taken - needed
        idle = {one: size for one, size in on_disk.items() if not (one in proven or one in wanted or one in others)}
        evicted: list[str] = []
        for one in sorted(idle, key=lambda one: (-idle[one], one)):
            if sum(idle.values()) <= free:
                break
            evicted.append(one)
            del idle[one]
        return evicted

    def exceeded(self, proven_bytes: int) -> Because | None:
        """What to say when what must stay is already too much: the bound was lowered."""
        if not self.max_bytes or proven_bytes <= self.max_bytes:
            return None
        return Because(
            "quota-exceeded",
            f"Artifacts may have {self.max_bytes} bytes ([disk] artifacts_max_bytes), and what runs here and what it "
            f"would fall back on, which is never evicted, takes {proven_bytes}.",
        )

"""Which devices of a cohort are kept apart, of however many: some of all, and some of each hardware target. Pure.

Those with the lowest hashes of all that were ever heard are a random sample of the cohort, in which a target that is
one device in a thousand has none. So the lowest of each target are kept besides; they speak for their own target alone,
or the sums of all would be theirs. Who is among the lowest now always was, and fewer are kept of each target the more
targets there are, never more: nothing that a device showed since it was first heard is missing.
"""

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b

#: Devices of a cohort that are kept apart: more would hardly tell more, and a look would take its time and memory.
WITNESSES = 256
_MOST_OF_A_TARGET, _LEAST_OF_A_TARGET = 32, 4
_Ranked = tuple[int, str]


def hashed(device: str) -> int:
    """64 bits. A checksum is not enough: those of names that differ by a number fall together."""
    return int.from_bytes(blake2b(device.encode(), digest_size=8).digest(), "big")


def of_a_target(apart: int, targets: int) -> int:
    """How many devices of each of so many targets are kept beside `apart` of all: as many together, while that is
    enough for each."""
    each = apart // max(1, targets)
    return min(apart, max(_LEAST_OF_A_TARGET, min(_MOST_OF_A_TARGET, each)))


@dataclass(frozen=True)
class Sample:
    """At most `apart` devices of all, and `of_a_target` of each hardware target."""

    apart: int = WITNESSES
    _of_all: tuple[_Ranked, ...] = ()
    _by_target: Mapping[str, tuple[_Ranked, ...]] = field(default_factory=dict)

    @property
    def of_a_target(self) -> int:
        """So many are kept of each target."""
        return of_a_target(self.apart, len(self._by_target))

    def plus(self, devices: Iterable[tuple[int, str, str]]) -> "Sample":
        """With devices that were heard, each as its hash, its name and its hardware target."""
        of_all, by_target = list(self._of_all), {target: list(kept) for target, kept in self._by_target.items()}
        for rank, name, target in devices:
            _keep(of_all, (rank, name), self.apart)
            _keep(by_target.setdefault(target, []), (rank, name), self.of_a_target)
        kept = replace(self, _of_all=tuple(of_all), _by_target={name: tuple(one) for name, one in by_target.items()})
        return kept.narrowed(self.apart)

    def narrowed(self, apart: int) -> "Sample":
        """At most so many of these."""
        fewer = replace(self, apart=min(self.apart, apart))
        each = fewer.of_a_target
        return replace(
            fewer,
            _of_all=self._of_all[: fewer.apart],
            _by_target={target: kept[:each] for target, kept in self._by_target.items()},
        )

    @cached_property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset(name for kept in (self._of_all, *self._by_target.values()) for _, name in kept)

    @cached_property
    def for_target_alone(self) -> frozenset[str]:
        """Those that are here for their hardware target, and speak for no other."""
        return self.names - {name for _, name in self._of_all}


def _keep(lowest: list[_Ranked], one: _Ranked, most: int) -> None:
    if len(lowest) >= most and (not lowest or one > lowest[-1]):
        return
    if one not in lowest:
        insort(lowest, one)
        del lowest[most:]

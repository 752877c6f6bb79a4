"""Which version each device should run: derived from the rollouts in force, never listed. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from cloud_hub.rollouts.policy import Selector
from cloud_hub.rollouts.waves import Line, place


@dataclass(frozen=True)
class Candidate:
    """A device as rollouts see it."""

    id: str
    target: str
    labels: Mapping[str, str]


class Place(NamedTuple):
    """Where a version goes on a device: a slot of a model."""

    model: str
    slot: str


NOTHING_FOLLOWED: Mapping[Place, Collection[str]] = MappingProxyType({})


@dataclass(frozen=True)
class Claim:
    """What one rollout in force says: `version` of `model`, for those that it selects and exposes.

    `number` rises with each rollout; `artifacts` are the version's digests by hardware target. `line` is of the last
    wave that is exposed. Only a claim that is `taking` wins devices: others keep those that follow it already.
    """

    rollout: str
    number: int
    model: str
    slot: str
    version: int
    salt: str
    line: Line
    wave: int
    taking: bool
    selector: Selector
    artifacts: Mapping[str, str]

    @property
    def place(self) -> "Place":
        return Place(self.model, self.slot)

    def eligible(self, device: Candidate) -> bool:
        return device.target in self.artifacts and self.selector.matches(device.labels, device.target)

    def covers(self, device: Candidate) -> bool:
        return self.eligible(device) and self.line.covers(device.target, place(self.salt, device.id, lab=False))


def newest_first(claims: Iterable[Claim]) -> list[Claim]:
    return sorted(claims, key=lambda claim: claim.number, reverse=True)


def wanted(
    device: Candidate, claims: Iterable[Claim], followed: Mapping[Place, Collection[str]] = NOTHING_FOLLOWED
) -> dict[Place, Claim]:
    """For each slot of each model the claim that `device` follows; `claims` come newest first, and the first that
    covers it and may have it wins. `followed` are the rollouts that it follows or followed there.

    So taking a claim away gives each of its devices what it had before, what a rollout had not yet ordered when it was
    held or superseded is cancelled, and no device is ever wanted to run two versions in one slot of one model.
    """
    found: dict[Place, Claim] = {}
    for claim in claims:
        mine = claim.place not in found and (claim.taking or claim.rollout in followed.get(claim.place, ()))
        if mine and claim.covers(device):
            found[claim.place] = claim
    return found


def hides(newer: Claim, older: Claim) -> bool:
    """Whether no device can ever follow `older` again, because `newer` covers all that it could."""
    return (
        newer.place == older.place
        and newer.number > older.number
        and newer.taking
        and newer.line.everyone
        and newer.selector.everyone
        and older.artifacts.keys() <= newer.artifacts.keys()
    )

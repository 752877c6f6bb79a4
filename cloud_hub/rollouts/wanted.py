"""Which version each device should run: derived from the rollouts in force, never listed. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cloud_hub.rollouts.policy import Selector
from cloud_hub.rollouts.waves import BUCKETS, bucket


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


@dataclass(frozen=True)
class Claim:
    """What one rollout in force says: `version` of `model`, for those that it selects and exposes.

    `number` rises with each rollout; `artifacts` are the version's digests by hardware target.
    """

    rollout: str
    number: int
    model: str
    slot: str
    version: int
    salt: str
    exposed: int
    wave: int
    selector: Selector
    artifacts: Mapping[str, str]

    @property
    def place(self) -> "Place":
        return Place(self.model, self.slot)

    def eligible(self, device: Candidate) -> bool:
        return device.target in self.artifacts and self.selector.matches(device.labels, device.target)

    def covers(self, device: Candidate) -> bool:
        return self.eligible(device) and bucket(self.salt, device.id) < self.exposed


def newest_first(claims: Iterable[Claim]) -> list[Claim]:
    return sorted(claims, key=lambda claim: claim.number, reverse=True)


def wanted(device: Candidate, claims: Iterable[Claim]) -> dict[Place, Claim]:
    """For each slot of each model the claim that `device` follows; `claims` come newest first, and the first that
    covers it wins.

    So taking a claim away gives each of its devices what it had before, and no device is ever wanted to run two
    versions in one slot of one model.
    """
    found: dict[Place, Claim] = {}
    for claim in claims:
        if claim.place not in found and claim.covers(device):
            found[claim.place] = claim
    return found


def hides(newer: Claim, older: Claim) -> bool:
    """Whether no device can ever follow `older` again, because `newer` covers all that it could."""
    return (
        newer.place == older.place
        and newer.number > older.number
        and newer.exposed >= BUCKETS
        and newer.selector.everyone
        and older.artifacts.keys() <= newer.artifacts.keys()
    )

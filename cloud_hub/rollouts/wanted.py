"""Which version each device should run: derived from the rollouts in force, never listed. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from cloud_hub.devices.selectors import EVERYONE, Selector, is_moved, loosened, matches
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.waves import Line, place

NO_LINE = Line("", {}, {})


@dataclass(frozen=True)
class Candidate:
    """A device as rollouts see it; `running` is the version that answers, by model."""

    id: str
    target: str
    labels: Mapping[str, str]
    agent_version: str = ""
    running: Mapping[str, int] = field(default_factory=dict)


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
    lab: Selector | None = None
    running: bool = True
    policy: Policy = field(default_factory=Policy)
    wave_started_at: datetime | None = None

    @property
    def place(self) -> "Place":
        return Place(self.model, self.slot)

    @cached_property
    def moves(self) -> bool:
        """Whether what devices come to run changes whom it selects."""
        return is_moved(self.selector)

    def eligible(self, device: Candidate, *, follows: bool = False) -> bool:
        """Whether it is for `device`, which may follow it already: then no version that it runs speaks against it."""
        selector = self._kept if follows else self.selector
        return device.target in self.artifacts and matches(selector, device)

    @cached_property
    def _kept(self) -> Selector:
        return loosened(self.selector)

    def covers(self, device: Candidate, *, follows: bool = False) -> bool:
        if not self.eligible(device, follows=follows):
            return False
        lab = self._kept_lab if follows else self.lab
        in_lab = lab is not None and matches(lab, device)
        return self.line.covers(device.target, place(self.salt, device.id, lab=in_lab))

    @cached_property
    def _kept_lab(self) -> Selector | None:
        return None if self.lab is None else loosened(self.lab)


def newest_first(claims: Iterable[Claim]) -> list[Claim]:
    return sorted(claims, key=lambda claim: claim.number, reverse=True)


def wanted(
    device: Candidate,
    claims: Iterable[Claim],
    followed: Mapping[Place, Collection[str]] = NOTHING_FOLLOWED,
    held: Collection[str] = (),
) -> dict[Place, Claim]:
    """For each slot of each model the claim that `device` follows; `claims` come newest first, and the first that
    covers it and may have it wins. `followed` are the rollouts that it follows or followed there; those that are
    `held` may not have it yet.

    So taking a claim away gives each of its devices what it had before, what a rollout had not yet ordered when it was
    held or superseded is cancelled, and no device is ever wanted to run two versions in one slot of one model.
    """
    found: dict[Place, Claim] = {}
    for claim in claims:
        follows = claim.rollout in followed.get(claim.place, ())
        may = follows or (claim.taking and claim.rollout not in held)
        if claim.place not in found and may and claim.covers(device, follows=follows):
            found[claim.place] = claim
    return found


@dataclass(frozen=True)
class Given:
    """What a device is offered in one place."""

    rollout: str
    version: int
    digest: str
    wave: int


def kept(device: Candidate, given: Mapping[Place, Given], claims: Iterable[Claim]) -> dict[Place, Claim]:
    """What `device` is offered, as claims: what it goes on to follow while nothing may move, also where none of
    `claims` says so any more."""
    in_force = {claim.rollout: claim for claim in claims}
    found = {}
    for where, one in given.items():
        claim = in_force.get(one.rollout)
        if claim is None or claim.artifacts.get(device.target) != one.digest:
            claim = _as_given(where, one, device.target)
        found[where] = claim
    return found


def _as_given(place: Place, given: Given, target: str) -> Claim:
    return Claim(
        rollout=given.rollout,
        number=0,
        model=place.model,
        slot=place.slot,
        version=given.version,
        salt="",
        line=NO_LINE,
        wave=given.wave,
        taking=False,
        selector=EVERYONE,
        artifacts={target: given.digest},
    )


def hides(newer: Claim, older: Claim) -> bool:
    """Whether no device can ever follow `older` again, because `newer` covers all that it could."""
    return (
        newer.place == older.place
        and newer.number > older.number
        and newer.taking
        and newer.line.everyone
        and newer.selector == EVERYONE
        and older.artifacts.keys() <= newer.artifacts.keys()
    )

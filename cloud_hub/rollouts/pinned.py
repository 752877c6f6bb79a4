"""What pins make of what a device should run. No I/O, no clock, no randomness."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloud_hub.devices.selectors import EVERYONE, Selector, matches
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.wanted import NO_LINE, Candidate, Claim, Given, Place, kept
from fleet_contract.desired import DEFAULT_SLOT

#: What the ids of pins start with; those of rollouts start with a model's name, which may start so, and have its
#: version, which pins have none of.
PIN, _VERSION = "pin-", "-v"
#: Who is pinned to a version waits for nobody.
_AT_ONCE = Policy(rate=None)


def is_pin(name: str) -> bool:
    """Whether `name`, of a pin or of a rollout, is that of a pin."""
    return name.startswith(PIN) and _VERSION not in name


@dataclass(frozen=True)
class Pin:
    """Rollouts do not move what it holds: one device, or those that a selector means; one model of theirs, or all;
    at `version`, or (None) at whatever they are offered. `artifacts` are the version's digests by hardware target."""

    id: str
    device: str | None = None
    selector: Selector | None = None
    model: str | None = None
    version: int | None = None
    artifacts: Mapping[str, str] | None = None

    def holds(self, device: Candidate) -> bool:
        if self.device is not None:
            return self.device == device.id
        return self.selector is not None and matches(self.selector, device)

    def concerns(self, place: Place) -> bool:
        return self.model in (None, place.model)

    @property
    def place(self) -> Place | None:
        """Where it wants a version of its own."""
        return None if self.model is None or self.version is None else Place(self.model, DEFAULT_SLOT)


def under_pins(
    want: Mapping[Place, Claim],
    device: Candidate,
    given: Mapping[Place, Given],
    claims: Sequence[Claim],
    pins: Iterable[Pin],
) -> dict[Place, Claim]:
    """`want`, but what is pinned stays as it is `given`, or becomes what a pin names; of several pins, which come
    newest first, the first decides."""
    holding = [pin for pin in pins if pin.holds(device)]
    if not holding:
        return dict(want)
    stays = kept(device, given, claims)
    found: dict[Place, Claim] = {}
    named = {pin.place for pin in holding if pin.place is not None}
    for place in sorted({*want, *given, *named}):
        pin = next((pin for pin in holding if pin.concerns(place)), None)
        claim = want.get(place) if pin is None else _named(pin, place, device) or stays.get(place)
        if claim is not None:
            found[place] = claim
    return found


def _named(pin: Pin, place: Place, device: Candidate) -> Claim | None:
    if pin.version is None or pin.place != place or device.target not in (pin.artifacts or {}):
        return None
    return Claim(
        rollout=pin.id,
        number=0,
        model=place.model,
        slot=place.slot,
        version=pin.version,
        salt="",
        line=NO_LINE,
        wave=0,
        taking=False,
        selector=EVERYONE,
        artifacts=pin.artifacts or {},
        policy=_AT_ONCE,
    )

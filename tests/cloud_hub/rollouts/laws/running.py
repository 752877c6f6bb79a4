"""A rollout of the modelled fleet, as the hub has stored it."""

from dataclasses import dataclass, field
from datetime import datetime

from cloud_hub.devices.selector_text import parse
from cloud_hub.monitoring.gates import Gate
from cloud_hub.rollouts.engine import Rollout
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import TAKING, State
from cloud_hub.rollouts.wanted import Claim
from cloud_hub.rollouts.waves import Line

NOBODY = Line("nobody", {}, {})


@dataclass
class Running:
    """A rollout as the hub stored it; `owed` until orders are where the exposure is."""

    number: int
    rollout: Rollout
    policy: Policy
    salt: str
    targets: tuple[str, ...]
    owed: bool = False
    records: int = 0
    gates: tuple[Gate, ...] = ()
    lines: tuple[Line, ...] = ()
    approvals: set[int] = field(default_factory=set)
    answered: set[tuple[int, str]] = field(default_factory=set)
    """What a person approved as it is, of which wave."""
    #: When each device was let go last.
    let_go: dict[str, datetime] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    #: What each device would have been offered instead, when it was offered this rollout's version.
    before: dict[str, Claim | None] = field(default_factory=dict)

    @property
    def claim(self) -> Claim:
        one = self.rollout
        return Claim(
            rollout=one.id,
            number=self.number,
            model=one.model,
            slot="default",
            version=one.version,
            salt=self.salt,
            line=self.lines[one.exposed - 1] if one.exposed else NOBODY,
            wave=one.wave,
            taking=one.state in TAKING,
            lab=parse(self.policy.lab) if self.policy.lab else None,
            selector=parse(self.policy.selector),
            artifacts=dict.fromkeys(self.targets, f"sha256:{one.version}"),
            running=one.state is State.RUNNING,
            policy=self.policy,
            wave_started_at=one.wave_started_at,
        )

"""What a selector means while somebody types it: how many devices, by target, or what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass

from cloud_hub.console.rollout_form import Fault
from cloud_hub.devices.selector_text import SelectorWrong
from cloud_hub.errors import Invalid
from cloud_hub.rollouts.service import RolloutService


@dataclass(frozen=True)
class Meaning:
    """Devices by hardware target; none where there is a fault."""

    by_target: Mapping[str, int]
    fault: Fault | None = None

    @property
    def devices(self) -> int:
        return sum(self.by_target.values())


def meaning(rollouts: RolloutService, selector: str) -> Meaning:
    try:
        return Meaning(rollouts.matching(selector))
    except SelectorWrong as error:
        return Meaning({}, Fault(error.what, error.remedy, error.column))
    except Invalid as error:
        return Meaning({}, Fault(error.what, error.remedy))

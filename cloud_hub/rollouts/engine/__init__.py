"""Decides how far a rollout may go. No I/O, no clock, no randomness.

`decide` looks at what is known now; `command` is what a person wants. Both give the rollout as it should be and why.
A decision is carried out by its exposure alone (`wanted.py`), so there is nothing to be lost between deciding and
doing: whoever finds orders that differ from the exposure brings them there.

What holds: exposure never rises on missing evidence; it falls only to 0, and then for good; every state has a reason;
nothing ever blocks a newer rollout.
"""

from cloud_hub.rollouts.engine.command import SamePerson, VerbRefused, check_second_person, command
from cloud_hub.rollouts.engine.decide import decide
from cloud_hub.rollouts.engine.harm import enough_done
from cloud_hub.rollouts.engine.known import (
    APPROVAL_WANTED,
    AWAY,
    SUCCESS,
    VERDICT_WANTED,
    WAVE_OPENED,
    Counts,
    Decision,
    LeftOver,
    Rollout,
    Snapshot,
    Verb,
)
from cloud_hub.rollouts.engine.progress import few_accepted, following, minimum
from cloud_hub.rollouts.engine.verdict import accepted, records_wanted

__all__ = [
    "APPROVAL_WANTED",
    "AWAY",
    "SUCCESS",
    "VERDICT_WANTED",
    "WAVE_OPENED",
    "Counts",
    "Decision",
    "LeftOver",
    "Rollout",
    "SamePerson",
    "Snapshot",
    "Verb",
    "VerbRefused",
    "accepted",
    "check_second_person",
    "command",
    "decide",
    "enough_done",
    "few_accepted",
    "following",
    "minimum",
    "records_wanted",
]

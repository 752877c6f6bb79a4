"""A wave that the policy has a person approve waits for one, and an approval stands in for no evidence."""

from dataclasses import replace

import pytest

from cloud_hub.rollouts.engine import SamePerson, VerbRefused, check_second_person, command
from cloud_hub.rollouts.policy import Approval
from cloud_hub.rollouts.states import State
from tests.cloud_hub.rollouts.engine.canary import BORN, FAILED, GOOD, POLICY, SOAKED, after


def test_the_next_wave_waits_for_who_must_approve_it() -> None:
    policy = POLICY.model_copy(update={"approval": Approval(waves="after-first", second_person=True)})
    assert after(BORN, GOOD, policy).wave == 0
    held = after(replace(SOAKED, created_by="ann"), GOOD, policy)
    assert (held.wave, held.because.code) == (0, "approval-wanted")
    assert "Wave 2 of 3 (3 devices) waits for somebody who approves it, and who is not ann." in held.because.sentence
    for same in ("ann", "Ann"):
        with pytest.raises(SamePerson, match="second person"):
            check_second_person(held, policy, same)
    check_second_person(held, policy, "bob")
    approved = command(held, "approve", "seen it", "bob").rollout
    assert approved.because.sentence == "The next wave is approved by bob: seen it."
    opened = after(approved, GOOD, policy)
    assert opened.wave == 1
    with pytest.raises(VerbRefused, match="waits for no approval"):
        command(opened, "approve")


def test_a_wave_behind_one_that_adds_nobody_is_approved_once() -> None:
    policy = POLICY.model_copy(update={"approval": Approval(waves="after-first")})
    few = replace(GOOD, waves=(1, 1, 6))
    held = after(SOAKED, few, policy)
    assert "Wave 3 of 3" in held.because.sentence
    assert after(command(held, "approve").rollout, few, policy).wave == 2


def test_what_was_approved_still_needs_its_evidence_and_harm_stops_what_waits_for_approval() -> None:
    policy = POLICY.model_copy(update={"approval": Approval(waves="all")})
    first = after(BORN, GOOD, policy)
    assert (first.wave, first.because.code) == (-1, "approval-wanted")
    held = after(SOAKED, GOOD, policy)
    approved = command(held, "approve").rollout
    assert after(approved, replace(GOOD, wave_records=0), policy).wave == 0
    assert after(held, replace(GOOD, gates=(FAILED,)), policy).state is State.REVERTING

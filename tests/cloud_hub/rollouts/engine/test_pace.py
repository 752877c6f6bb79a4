"""A rate that holds only until a version is proven holds nobody after that."""

from dataclasses import replace

import pytest

from cloud_hub.rollouts.engine import Counts, Snapshot
from cloud_hub.rollouts.policy import Rate
from tests.cloud_hub.rollouts.engine.canary import CANARY, GOOD, PASSED, POLICY, UNDECIDED, after

#: A wave of which some run it, and some wait for the rate.
BY_RATE = replace(
    GOOD, waves=(100,), counts=Counts(24, 24, 20), fresh=Counts(24, 24, 20), carried_out=False, held={"rate": 76}
)


OPEN_END = POLICY.model_copy(update={"rate": Rate(devices_per_minute=1, until_proven=True)})


def test_a_rate_holds_nobody_once_every_gate_is_passed_and_holds_them_again_when_one_is_not() -> None:
    lifted = after(CANARY, BY_RATE, OPEN_END)
    assert (lifted.rate_lifted, lifted.because.code) == (True, "rate-lifted")
    assert "on the 20 devices that run it: the 76 of this wave" in lifted.because.sentence
    assert (after(lifted, BY_RATE, OPEN_END).rate_lifted, lifted.exposed) == (True, 1)
    let_go = replace(BY_RATE, counts=Counts(100, 100, 95), fresh=Counts(100, 100, 95), carried_out=True, held={})
    assert after(lifted, let_go, OPEN_END).rate_lifted
    assert not after(lifted, replace(BY_RATE, gates=(PASSED, UNDECIDED)), OPEN_END).rate_lifted


@pytest.mark.parametrize(
    "snapshot",
    [
        replace(BY_RATE, gates=()),
        replace(BY_RATE, gates=(PASSED, UNDECIDED)),
        replace(BY_RATE, counts=Counts(24, 24, 19), fresh=Counts(24, 24, 19)),
    ],
    ids=["no gate asks", "a gate cannot tell", "fewer are done than say something"],
)
def test_what_is_not_proven_lifts_no_rate(snapshot: Snapshot) -> None:
    assert not after(CANARY, snapshot, OPEN_END).rate_lifted


def test_a_rate_is_only_lifted_where_the_policy_says_so_and_somebody_waits_for_it() -> None:
    always = POLICY.model_copy(update={"rate": Rate(devices_per_minute=1)})
    assert not after(CANARY, BY_RATE, always).rate_lifted
    assert not after(CANARY, replace(BY_RATE, held={"cap": 76}), OPEN_END).rate_lifted

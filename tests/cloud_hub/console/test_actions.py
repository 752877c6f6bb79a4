"""What a person may do now, as buttons say it."""

from datetime import UTC, datetime

from cloud_hub.because import BecauseView
from cloud_hub.console.actions import actions, waits_for_approval
from cloud_hub.monitoring.evidence import Evidence
from cloud_hub.monitoring.views import EvidenceView
from cloud_hub.rollouts.policy import Approval, Policy
from cloud_hub.rollouts.views import CohortsView, CountsView, RolloutView, WaveView

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
NOTHING = EvidenceView.of(Evidence())


def rollout(code: str, policy: Policy) -> RolloutView:
    """One whose only wave is open on all of its devices."""
    return RolloutView(
        id="digits-2-abc",
        model="digits",
        slot="default",
        version=2,
        state="running",
        wave=0,
        waves=[WaveView(name="100 %", exposed_percent=100, covers=4, state="open")],
        counts=CountsView(eligible=4, offered=4, heard=4, succeeded=4),
        evidence=CohortsView(treated=NOTHING, control=NOTHING),
        gates=[],
        failures=[],
        because=BecauseView(code=code, sentence="Nobody knows."),
        policy=policy,
        created_at=NOW,
        updated_at=NOW,
        revision=1,
        created_by="ann",
    )


def test_what_no_gate_can_tell_is_approved_by_a_button_that_says_that_nothing_watches_any_more() -> None:
    policy = Policy(approval=Approval(waves="all", second_person=True))
    held = rollout("verdict-wanted", policy)
    assert waits_for_approval(held)
    approve, *others = actions(held)
    assert (approve.name, approve.button) == ("approve", "Approve it as it is")
    assert "No device gets another order" in approve.consequence
    assert "they watch it no longer. It must be another than ann." in approve.consequence
    assert [one.name for one in others] == ["pause", "abort"]
    assert not waits_for_approval(rollout("soaking", policy))


def test_canaries_that_prove_nothing_are_let_pass_by_a_button_that_says_which_wave_opens() -> None:
    held = rollout("verdict-wanted", Policy())
    more = WaveView(name="100 %", exposed_percent=100, covers=10, state="waiting")
    approve, *_ = actions(held.model_copy(update={"waves": [*held.waves, more]}))
    assert approve.button == "Go on as it is"
    assert "wave 2 (100 %) opens: 6 more devices are offered v2. The gates keep watching" in approve.consequence

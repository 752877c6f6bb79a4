"""How far a rollout is, in a line and in words; and what a button does, in numbers."""

from datetime import UTC, datetime

import pytest

from cloud_hub.console.actions import actions
from cloud_hub.console.progress import progress
from cloud_hub.rollouts.views import CountsView, RolloutView
from tests.fakes.paper_fleet import busy_hub


def a_rollout(state: str, **counts: int) -> RolloutView:
    known = busy_hub(lambda: datetime(2026, 11, 2, tzinfo=UTC)).rollouts.rollouts["digits-3-q7f2"]
    return known.model_copy(update={"state": state, "counts": CountsView(eligible=100, **counts)})


def test_devices_lie_on_the_line_by_what_they_made_of_it() -> None:
    drawn = progress(a_rollout("running", offered=50, heard=45, succeeded=30, failed=5, pending=10, unheard=5))
    assert [(one.css, one.x, one.width) for one in drawn.segments] == [
        ("done", 0, 30),
        ("failed", 30, 5),
        ("pending", 35, 15),
    ]
    assert drawn.said == "30 of 100 devices run it, 5 failed"


def test_more_devices_than_are_eligible_now_stay_on_the_line() -> None:
    drawn = progress(a_rollout("running", offered=130, heard=130, succeeded=120, failed=10))
    assert [(one.x, one.width) for one in drawn.segments] == [(0, 100), (100, 0)]


def test_a_rollout_for_nobody_is_an_empty_line() -> None:
    nobody = a_rollout("running").model_copy(update={"counts": CountsView()})
    assert (progress(nobody).segments, progress(nobody).waves) == ((), ())


@pytest.mark.parametrize(("state", "back"), [("reverting", True), ("aborted", True), ("stopped", False)])
def test_what_was_taken_back_is_told_as_past(state: str, *, back: bool) -> None:
    drawn = progress(a_rollout(state, offered=2, heard=2, succeeded=2))
    assert drawn.back is back
    assert drawn.said == f"2 of 100 devices {'ran' if back else 'run'} it"


def test_a_button_says_how_many_devices_it_touches() -> None:
    pause, abort = actions(a_rollout("running", offered=50, heard=45, succeeded=30, failed=5))
    assert "keep v3: 50. Devices that it is for, and that are not offered it: 50." in pause.consequence
    assert "ordered back to what each ran before: 50, of which 30 run v3 now." in abort.consequence
    assert (pause.touches, abort.touches) == (0, 50)


def test_what_a_rollout_was_stopped_for_is_said_to_be_looked_at_again() -> None:
    resume, _ = actions(a_rollout("stopped", offered=50))
    assert "stops it again if it still holds" in resume.consequence
    assert "50 more devices" in resume.consequence
    resume, _ = actions(a_rollout("paused", offered=50))
    assert "looked at again" not in resume.consequence

"""How long a device may take, of which the wait for its maintenance window is no part."""

from fleet_contract.report import Phase
from tests.cloud_hub.rollouts.limited_rollout import TEN, shown, start, ten_connected
from tests.fakes.paper_gateways import PaperGateways


def test_a_device_over_its_deadline_has_failed_and_one_that_waits_for_its_window_has_not(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(
        fleet, deadline_seconds=600, stop_failed_percent=15, window={"days": ["sun"], "start": "02:00", "end": "04:00"}
    )
    fleet.rollouts.tick()
    assigned = fleet.assigned("gw-0")
    assert assigned is not None
    assert assigned.window is not None
    assert (assigned.window.days, assigned.window.start, assigned.window.end) == (("sun",), "02:00", "04:00")
    fleet.obey(*TEN[:8])
    fleet.wait_for_window(*TEN[8:])
    fleet.rollouts.tick()
    counts = shown(fleet, rollout).counts
    assert (counts.succeeded, counts.pending, counts.waiting) == (8, 2, 2)
    fleet.clock.pass_seconds(601)
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.failed == 0
    assert "2 of them until their maintenance window" in shown(fleet, rollout).because.sentence
    fleet.obey(*TEN[8:], phase=Phase.FETCHING)
    fleet.rollouts.tick()
    assert (shown(fleet, rollout).counts.failed, shown(fleet, rollout).state) == (2, "stopped")
    fleet.obey(*TEN[8:])
    fleet.rollouts.tick()
    assert (shown(fleet, rollout).counts.failed, shown(fleet, rollout).state) == (0, "stopped"), "a person goes on"


def test_what_undoes_waits_for_no_window(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    start(fleet, 1)
    fleet.rollouts.tick()
    fleet.obey()
    rollout = start(fleet, 2, window={"start": "02:00", "end": "04:00"})
    fleet.rollouts.tick()
    fleet.rollouts.abort(rollout)
    fleet.rollouts.tick()
    back = fleet.assigned("gw-0")
    assert back is not None
    assert (back.version, back.window) == (1, None)

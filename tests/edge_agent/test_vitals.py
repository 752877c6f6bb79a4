"""A loop that has not turned for too long is stuck, unless nobody could have turned."""

from edge_agent.vitals import PAUSE_SECONDS, Vital, Vitals


def looked(vitals: Vitals, turned_at: float | None, *moments: float, limit: float = 60.0) -> str | None:
    """What the last of some looks at one loop says."""
    said = None
    for now in moments:
        because = vitals.stuck([Vital("uplink", lambda: turned_at, limit, "a broker hangs")], now)
        said = because.sentence if because else None
    return said


def every(step: float, until: float) -> list[float]:
    return [number * step for number in range(1, int(until / step) + 1)]


def test_a_loop_that_turns_is_well():
    assert looked(Vitals(0.0), 100.0, 101.0) is None


def test_a_loop_that_has_not_turned_is_named_with_how_long_and_what_it_means():
    assert looked(Vitals(0.0), 0.0, *every(5.0, 60.0)) is None
    said = looked(Vitals(0.0), 0.0, *every(5.0, 65.0))
    assert said == "The agent's uplink has been stuck for 65 s: a broker hangs."


def test_a_loop_with_nothing_to_do_is_never_stuck():
    assert looked(Vitals(0.0), None, *every(5.0, 1000.0)) is None


def test_a_process_that_was_stopped_or_a_machine_that_slept_gives_every_loop_its_time_again():
    vitals = Vitals(0.0)
    assert looked(vitals, 0.0, 5.0, 3600.0) is None
    assert looked(vitals, 0.0, *(3600.0 + one for one in every(5.0, 60.0))) is None
    assert looked(vitals, 0.0, 3665.0) is not None


def test_looks_that_are_late_on_a_busy_machine_hide_nothing():
    late = PAUSE_SECONDS - 1
    assert looked(Vitals(0.0), 0.0, *every(late, 4 * late)) is not None

"""Answers that leave no objects behind add up to the same as those that do."""

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.live import Health, LiveModel, Loaded
from edge_agent.telemetry import streak as streak_module
from edge_agent.telemetry.tally import Seen, Tally
from edge_agent.telemetry.window import Recorder
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import FakeSession

ROWS = 2
scores = st.lists(st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=3), min_size=ROWS, max_size=ROWS)
LIKE = np.zeros((ROWS, 3), np.float32)


def leased(slot: LiveModel):
    lease = slot.begin()
    assert lease is not None
    slot.end(lease, answered=ROWS)
    return lease


def a_slot(version: int = 1, **changes) -> LiveModel:
    slot = LiveModel()
    slot.switch(Loaded(a_manifest(version, **changes), FakeSession()))
    return slot


def windows(tally: Tally):
    tally.flush()
    return tally._recorder.collect(9, everything=True)


@given(st.lists(st.tuples(scores, st.floats(1, 1e6), st.sampled_from([1, 2])), max_size=30), st.booleans())
def test_it_adds_up_to_the_same(many, labelled):
    slots = {version: a_slot(version, **({} if labelled else {"labels": ()})) for version in (1, 2)}
    apart, together = Tally(Recorder(10**9), lambda: 1), Tally(Recorder(10**9), lambda: 1)
    for said, latency_us, version in many:
        slot, array = slots[version], np.asarray(said, np.float32)
        lease = leased(slot)
        apart.answered(Seen(slot, lease, lease.loaded.manifest, ROWS, array, None, latency_us))
        streak = together.streak(slot, lease, ROWS, array)
        assert streak is not None
        assert streak.add(array, latency_us)
        # It was copied.
        array[...] = np.nan
    by_version = lambda found: {one.version: one for one in found}  # noqa: E731
    if labelled:
        apart_scores = [one for one in apart._seen if isinstance(one, Seen)]
        for one, (said, _, _) in zip(apart_scores, many, strict=True):
            one.scores = np.asarray(said, np.float32)
    expected, found = by_version(windows(apart)), by_version(windows(together))
    apart.close()
    together.close()
    assert found == expected


def test_versions_keep_their_order_so_that_no_window_is_cut_in_two():
    slot, tally = a_slot(1), Tally(Recorder(10**9), lambda: 1)
    first = tally.streak(slot, leased(slot), ROWS, LIKE)
    assert first is not None
    first.add(LIKE, 1.0)
    slot.switch(Loaded(a_manifest(2), FakeSession()))
    second = tally.streak(slot, leased(slot), ROWS, LIKE)
    assert second is not first
    assert second is not None
    second.add(LIKE, 1.0)
    first.add(LIKE, 1.0)
    assert sorted((one.version, one.count) for one in windows(tally)) == [(1, 2 * ROWS), (2, ROWS)]
    tally.close()


def test_what_is_wrong_is_taken_back_and_the_others_beside_it_count():
    slot, tally = a_slot(), Tally(Recorder(10**9), lambda: 1)
    streak = tally.streak(slot, leased(slot), ROWS, LIKE)
    assert streak is not None
    leased(slot)
    streak.add(LIKE, 1.0)
    streak.add(np.full((ROWS, 3), np.nan, np.float32), 1.0)
    (window,) = windows(tally)
    assert (window.count, window.errors, window.error_codes) == (ROWS, ROWS, {"output-not-finite": ROWS})
    assert slot.health() == Health(ROWS, ROWS)
    tally.close()


def test_scores_of_another_form_do_not_belong_there():
    slot, tally = a_slot(), Tally(Recorder(10**9), lambda: 1)
    lease = leased(slot)
    streak = tally.streak(slot, lease, ROWS, LIKE)
    assert streak is not None
    assert not streak.add(LIKE[:1], 1.0)
    assert not streak.add(LIKE.astype(np.float64), 1.0)
    assert not streak.add(None, 1.0)
    assert tally.streak(slot, lease, ROWS, LIKE) is streak
    assert tally.streak(slot, lease, 1, LIKE[:1]) is not streak
    for unfit in (None, LIKE[0], LIKE.astype(object), np.zeros((ROWS, 9999))):
        assert tally.streak(slot, lease, ROWS, unfit) is None
    assert windows(tally) == []
    tally.close()


def test_a_full_one_is_counted_at_once(monkeypatch):
    monkeypatch.setattr(streak_module, "MOST_CALLS", 5)
    slot, tally = a_slot(), Tally(Recorder(10**9), lambda: 1)
    tally._awake.set()
    streak = tally.streak(slot, leased(slot), ROWS, LIKE)
    assert streak is not None
    for _ in range(6):
        streak.add(LIKE, 1.0)
    assert sum(one.count for one in tally._recorder.collect(9, everything=True)) == 6 * ROWS
    tally.close()


def test_none_is_lost_or_counted_twice_however_many_add_while_it_is_counted():
    slot, tally = a_slot(), Tally(Recorder(10**9), lambda: 1)
    streak = tally.streak(slot, leased(slot), ROWS, LIKE)
    assert streak is not None

    def add() -> None:
        for _ in range(2000):
            streak.add(LIKE, 1.0)

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tally.flush()
    tally.close()
    (window,) = windows(tally)
    assert window.count == 3 * 2000 * ROWS
    assert sum(window.latency.values()) == 3 * 2000 * ROWS


def test_a_fault_in_counting_does_not_end_it(monkeypatch):
    slot, tally = a_slot(), Tally(Recorder(10**9), lambda: 1)
    streak = tally.streak(slot, leased(slot), ROWS, LIKE)
    assert streak is not None
    with monkeypatch.context() as patch:
        patch.setattr(tally, "_count_taken", lambda _: 1 / 0)
        streak.add(LIKE, 1.0)
        tally._flush_safely()
    streak.add(LIKE, 1.0)
    (window,) = windows(tally)
    assert window.count == ROWS
    tally.close()

"""What was answered is counted later and all together, and it adds up to the same."""

import threading
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.live import LiveModel, Loaded
from edge_agent.telemetry import tally as tally_module
from edge_agent.telemetry.answer import answers, labels, margins
from edge_agent.telemetry.tally import Seen, Tally
from edge_agent.telemetry.window import Recorder
from fleet_contract.histogram import latency_bucket
from fleet_contract.manifest import Histogram, Reference
from tests.fakes.recording import record
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import FakeSession
from tests.fakes.waiting import until

REFERENCE = Reference(
    10,
    {"0": 10},
    Histogram((0.5, 0.9), (1, 2, 7)),
    {"image.mean": Histogram((1.0,), (5, 5)), "image.zeros": Histogram((0.25, 0.75), (1, 8, 1))},
)
scores = st.lists(st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=3), min_size=1, max_size=4)
calls = st.lists(st.tuples(scores, st.floats(1, 1e6), st.sampled_from([1, 2])), max_size=30)


def manifest_of(version: int = 1):
    return msgspec.structs.replace(a_manifest(version), reference=REFERENCE)


def a_slot(manifest) -> LiveModel:
    slot = LiveModel()
    slot.switch(Loaded(manifest, FakeSession()))
    return slot


def seen(slot: LiveModel, given, inputs=None, latency_us: float = 10.0) -> Seen:
    given = np.asarray(given, np.float32)
    lease = slot.begin()
    slot.end(lease, answered=len(given))
    return Seen(slot, lease, lease.loaded.manifest, len(given), given, inputs, latency_us)


@given(calls)
def test_counting_together_adds_up_to_counting_one_by_one(many):
    recorder, alone = Recorder(10**9), Recorder(10**9)
    tally = Tally(recorder, lambda: 1)
    slots = {version: a_slot(manifest_of(version)) for version in (1, 2)}
    for said, latency_us, version in many:
        inputs = {"image": np.abs(np.asarray(said, np.float32))}
        one = seen(slots[version], said, inputs, latency_us)
        tally._seen.append(one)
        one.now_ms = 1
        manifest = slots[version].manifest
        given = answers(manifest, {"scores": one.scores})
        named = zip(labels(manifest, given), given.confidence.tolist(), strict=True)
        record(alone, manifest, inputs, list(named), latency_us, 1)
    tally.flush()
    assert recorder.collect(2, everything=True) == alone.collect(2, everything=True)


def test_a_wrong_output_is_taken_back_and_the_others_beside_it_count():
    recorder = Recorder(60_000)
    slot = a_slot(manifest_of())
    tally = Tally(recorder)
    for said in ([[1, 0, 0]], [[np.nan, 0, 0]], [[0, 1, 0], [0, 1, 0]], [[1, 0]]):
        tally.answered(seen(slot, said))
    tally.close()
    (window,) = recorder.collect(0, everything=True)
    assert window.predictions == {"0": 1, "1": 2}
    assert window.error_codes == {"output-not-finite": 1, "output-shape": 1}
    assert (slot.health().count, slot.health().errors) == (3, 2)


def test_failures_and_answers_keep_their_order_so_that_no_window_is_cut_in_two():
    recorder = Recorder(60_000)
    tally = Tally(recorder)
    for version in (1, 2):
        slot = a_slot(manifest_of(version))
        tally.answered(seen(slot, [[1, 0, 0]]))
        tally.failed(slot.manifest, "inference-failed")
        tally.answered(seen(slot, [[1, 0, 0]]))
    tally.close()
    found = [(one.version, one.count, one.errors) for one in recorder.collect(0, everything=True)]
    assert found == [(1, 2, 1), (2, 2, 1)]


def test_a_model_with_no_labels_is_counted_by_its_records_as_its_failures_are():
    recorder = Recorder(60_000)
    tally = Tally(recorder)
    slot = a_slot(a_manifest(labels=(), task="regression"))
    tally.answered(seen(slot, [[1.0, 2.0]], latency_us=123.0))
    tally.answered(seen(slot, [[1.0, 2.0]] * 3, latency_us=123.0))
    tally.failed(slot.manifest, "inference-failed", records=3)
    tally.close()
    (window,) = recorder.collect(0, everything=True)
    assert (window.count, window.errors, window.predictions) == (4, 3, {})
    assert window.latency == {latency_bucket(123.0): 4}


def test_its_features_are_counted_too():
    reference = Reference(10, {}, Histogram((0.5,), (1, 1)), {"image.mean": Histogram((0.5,), (1, 1))})
    recorder = Recorder(60_000)
    tally = Tally(recorder)
    slot = a_slot(msgspec.structs.replace(a_manifest(labels=(), task="regression"), reference=reference))
    one = seen(slot, [[1.0, 2.0]] * 2)
    one.inputs = {"image": np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.float32)}
    tally.answered(one)
    tally.close()
    (window,) = recorder.collect(0, everything=True)
    assert window.features == {"image.mean": (1, 1)}


def test_it_counts_by_itself_soon_and_not_on_the_thread_of_who_answers():
    recorder = Recorder(60_000)
    tally = Tally(recorder)
    tally.answered(seen(a_slot(manifest_of()), [[1, 0, 0]]))
    until(lambda: recorder.due_ms() is not None)
    tally.close()
    assert "tally" not in {thread.name for thread in threading.enumerate()}


def test_a_fault_in_counting_ends_no_counting(monkeypatch):
    recorder = Recorder(60_000)
    tally = Tally(recorder)
    faults = iter([True])
    count = tally._count

    def fail_once(group):
        if next(faults, False):
            raise ZeroDivisionError
        count(group)

    monkeypatch.setattr(tally, "_count", fail_once)
    slot = a_slot(manifest_of())
    tally.answered(seen(slot, [[1, 0, 0]]))
    until(lambda: not tally._seen)
    tally.answered(seen(slot, [[1, 0, 0]]))
    until(lambda: recorder.due_ms() is not None)
    tally.close()


def test_a_fault_in_counting_is_nothing_to_who_answers(monkeypatch, caplog):
    monkeypatch.setattr(tally_module, "MOST_RECORDS", 1)
    tally = Tally(Recorder(60_000))

    def fail(_group):
        raise ZeroDivisionError

    monkeypatch.setattr(tally, "_count", fail)
    slot = a_slot(manifest_of())
    for _ in range(3):
        tally.answered(seen(slot, [[1, 0, 0]]))
    assert "could not be counted" in caplog.text
    tally.close()


def test_what_waits_to_be_counted_is_bounded(monkeypatch):
    monkeypatch.setattr(tally_module, "MOST_BYTES", 1000)
    monkeypatch.setattr(tally_module, "GATHER_SECONDS", 30.0)
    recorder = Recorder(60_000)
    tally = Tally(recorder)
    slot = a_slot(manifest_of())
    for _ in range(40):
        tally.answered(seen(slot, [[1, 0, 0]], {"image": np.zeros((1, 25), np.float32)}))
        assert sum(one.size_bytes for one in tally._seen) <= 1000
    tally.close()
    (window,) = recorder.collect(0, everything=True)
    assert window.count == 40


def test_features_take_a_share_of_a_core_and_no_more():
    tally = Tally(Recorder(60_000))
    small = {"image": np.zeros((1, 32), np.float32)}
    large = {"image": np.zeros((1, 300_000), np.float32)}
    assert not tally.wants(a_manifest(), large), "there are no features to count"
    assert all(tally.wants(manifest_of(), small) for _ in range(1000)), "at a usual pace all are counted"
    taken = sum(tally.wants(manifest_of(), large) for _ in range(10_000))
    assert 10 <= taken < 500
    time.sleep(0.2)
    assert tally.wants(manifest_of(), large), "and it goes on"


def test_where_true_labels_are_known_it_is_counted_how_many_were_right():
    recorder = Recorder(60_000)
    tally, slot = Tally(recorder), a_slot(manifest_of())
    ones = np.array([[0, 9, 0], [0, 9, 0], [9, 0, 0]], np.float32)
    for truth in (("1", "2", "0"), (), ("1", "1", "1"), ("1",)):
        one = seen(slot, ones)
        one.truth = truth
        tally.answered(one)
    tally.close()
    (window,) = recorder.collect(0, everything=True)
    assert (window.count, window.labelled, window.correct) == (12, 6, 4), "labels that fit no record count for none"


@pytest.mark.parametrize("same", [True, False])
def test_a_shadow_is_compared_by_label_with_what_it_ran_beside(same):
    recorder = Recorder(60_000)
    tally = Tally(recorder)
    live, slot = manifest_of(1), a_slot(manifest_of(2))
    lease = slot.begin()
    mine = np.array([[0, 9, 0], [9, 0, 0]], np.float32)
    theirs = np.array([[0, 1, 0], [0, 0, 1]], np.float32)
    tally.answered(
        Seen(slot, lease, lease.loaded.manifest, 2, mine, None, 1.0, "shadow", (live, theirs if same else theirs[:1]))
    )
    tally.answered(Seen(slot, lease, lease.loaded.manifest, 2, mine, None, 1.0, "shadow", (live, None)))
    slot.end(lease)
    tally.close()
    (window,) = recorder.collect(0, everything=True)
    assert (window.slot, window.count, window.compared, window.agreed) == ("shadow", 4, *((2, 1) if same else (0, 0)))


def test_models_that_answer_in_turns_are_counted_each_in_few_steps(monkeypatch):
    recorder = Recorder(60_000)
    tally = Tally(recorder)
    steps: list[int] = []
    count = tally._count
    monkeypatch.setattr(tally, "_count", lambda group: (steps.append(len(group)), count(group)))
    monkeypatch.setattr(tally_module, "GATHER_SECONDS", 30.0)
    slots = [a_slot(a_manifest(model=name)) for name in ("digits", "faces")]
    for number in range(100):
        tally.answered(seen(slots[number % 2], [[1, 0, 0]]))
    tally.close()
    assert steps == [50, 50]
    assert {one.model: one.count for one in recorder.collect(0, everything=True)} == {"digits": 50, "faces": 50}


def test_a_step_is_bounded_in_bytes_and_halved_in_search_of_what_is_wrong(monkeypatch):
    monkeypatch.setattr(tally_module, "_BYTES_AT_A_TIME", 16 * 12 - 1)
    recorder = Recorder(60_000)
    tally = Tally(recorder)
    steps: list[int] = []
    count = tally._count
    monkeypatch.setattr(tally, "_count", lambda group: (steps.append(len(group)), count(group)))
    slot = a_slot(manifest_of())
    monkeypatch.setattr(tally, "_add", tally._seen.append)
    for number in range(32):
        tally.answered(seen(slot, [[np.nan if number == 20 else 1, 0, 0]]))
    tally.close()
    assert sorted(steps) == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16]
    (window,) = recorder.collect(0, everything=True)
    assert (window.count, window.errors) == (31, 1)


@given(st.lists(st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3), min_size=1, max_size=8), st.booleans())
def test_a_margin_is_how_much_surer_the_model_is_of_its_label_than_of_the_second_best(rows, given_as_probabilities):
    if given_as_probabilities:
        weights = np.abs(np.asarray(rows)) + 1e-3
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        manifest, outputs = a_manifest(probabilities="scores"), {"scores": probabilities}
    else:
        exponentials = np.exp(np.asarray(rows))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        manifest, outputs = a_manifest(), {"scores": np.asarray(rows)}
    ranked = np.sort(probabilities, axis=1)
    np.testing.assert_allclose(margins(manifest, outputs), ranked[:, -1] - ranked[:, -2], atol=1e-9)
    np.testing.assert_allclose(answers(manifest, outputs).confidence, ranked[:, -1], atol=1e-9)


def test_a_model_of_one_label_is_as_far_ahead_as_it_is_sure():
    manifest = a_manifest(labels=("on",), probabilities="scores")
    assert margins(manifest, {"scores": np.array([[0.75], [0.5]])}).tolist() == [0.75, 0.5]

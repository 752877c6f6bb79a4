"""Windows add up exactly what a model did, and never mix two versions."""

import math
import random
import threading

import msgspec
import numpy as np
import pytest

from edge_agent.errors import OutputWrong
from edge_agent.telemetry import features
from edge_agent.telemetry.answer import answers, labels
from edge_agent.telemetry.gauge import Strain
from edge_agent.telemetry.window import Recorder
from fleet_contract.histogram import latency_bucket
from fleet_contract.manifest import Histogram, Reference, Tensor
from tests.fakes.recording import record
from tests.fakes.releases import a_manifest

IMAGE = {"image": np.array([[0.0, 0.0, 1.0, 3.0]], np.float32)}


def manifest_of(version: int = 1, model: str = "digits"):
    reference = Reference(
        10,
        {"0": 10},
        Histogram((0.5, 0.9), (1, 2, 7)),
        {"image.mean": Histogram((1.0,), (5, 5)), "image.zeros": Histogram((0.25, 0.75), (1, 8, 1))},
    )
    return msgspec.structs.replace(a_manifest(version, model=model), reference=reference)


def test_a_window_counts_answers_confidence_latency_and_features_on_the_manifests_edges():
    recorder, manifest = Recorder(10_000), manifest_of()
    record(recorder, manifest, IMAGE, [("1", 0.95)], 250.0, 1_000)
    record(recorder, manifest, IMAGE, [("1", 0.6)], 250.0, 2_000)
    record(recorder, manifest, IMAGE, [("0", 0.2)], 9_000.0, 3_000)
    recorder.failed(manifest, "inference-failed", 4_000)
    (window,) = recorder.collect(11_000)
    assert (window.model, window.version, window.digest) == ("digits", 1, manifest.artifact.digest)
    assert (window.started_at_ms, window.ended_at_ms) == (1_000, 11_000)
    assert (window.count, window.errors, window.error_codes) == (3, 1, {"inference-failed": 1})
    assert window.predictions == {"1": 2, "0": 1}
    assert window.confidence == (1, 1, 1)
    assert window.latency == {latency_bucket(250.0): 2, latency_bucket(9_000.0): 1}
    assert window.features == {"image.mean": (0, 3), "image.zeros": (0, 3, 0)}


def test_a_window_stays_open_until_its_time_is_over():
    recorder = Recorder(10_000)
    assert recorder.due_ms() is None
    record(recorder, manifest_of(), IMAGE, [("1", 0.9)], 1.0, 1_000)
    assert recorder.due_ms() == 11_000
    assert recorder.collect(10_999) == []
    assert len(recorder.collect(11_000)) == 1
    assert recorder.collect(12_000) == []


def test_a_record_after_the_windows_time_starts_the_next_one():
    recorder = Recorder(10_000)
    for now_ms in (1_000, 11_500):
        record(recorder, manifest_of(), IMAGE, [("1", 0.9)], 1.0, now_ms)
    assert [window.count for window in recorder.collect(12_000, everything=True)] == [1, 1]


def test_a_switch_of_model_closes_the_window_at_once():
    recorder = Recorder(10_000)
    record(recorder, manifest_of(1), IMAGE, [("1", 0.9)], 1.0, 1_000)
    record(recorder, manifest_of(2), IMAGE, [("1", 0.9)], 1.0, 2_000)
    assert recorder.due_ms() == 0
    (closed,) = recorder.collect(2_000)
    assert (closed.version, closed.count, closed.ended_at_ms) == (1, 1, 2_000)


def test_models_do_not_close_each_others_windows():
    recorder = Recorder(10_000)
    record(recorder, manifest_of(1), IMAGE, [("1", 0.9)], 1.0, 1_000)
    record(recorder, manifest_of(1, "faces"), IMAGE, [("1", 0.9)], 1.0, 1_000)
    assert recorder.collect(2_000) == []
    assert {window.model for window in recorder.collect(2_000, everything=True)} == {"digits", "faces"}


def test_answers_of_the_old_version_that_come_late_never_mix_with_the_new():
    recorder = Recorder(10_000)
    for version, now_ms in ((1, 1_000), (2, 1_100), (1, 1_200), (2, 1_300)):
        record(recorder, manifest_of(version), IMAGE, [("1", 0.9)], 1.0, now_ms)
    windows = recorder.collect(2_000, everything=True)
    assert sorted((window.version, window.count) for window in windows) == [(1, 1), (1, 1), (2, 1), (2, 1)]


def test_a_clock_that_is_set_back_closes_the_window_and_makes_none_that_ends_before_it_starts():
    recorder = Recorder(10_000)
    record(recorder, manifest_of(), IMAGE, [("1", 0.9)], 1.0, 5_000_000)
    (window,) = recorder.collect(1_000)
    assert window.ended_at_ms == window.started_at_ms == 5_000_000


def test_a_window_has_borne_the_worst_of_all_readings_while_it_was_open():
    given = iter([Strain(70, 50.0), Strain(90, None), Strain(60, 55.0)])
    recorder, long = Recorder(10_000, lambda: next(given)), manifest_of(model="long")
    recorder.failed(long, "x", 0)
    for version, at in ((1, 0), (2, 2_000), (3, 4_000)):
        # Another version closes the window of the one before.
        recorder.failed(manifest_of(version, "short"), "x", at)
    told = {(one.model, one.version): (one.memory_bytes, one.temperature_c) for one in recorder.collect(11_000)}
    assert told == {("short", 1): (70, 50.0), ("short", 2): (90, None), ("long", 1): (90, 55.0)}


def test_windows_that_close_together_are_read_for_once():
    readings = []

    def read() -> Strain:
        readings.append(1)
        return Strain(100, 40.0)

    recorder = Recorder(10_000, read)
    for number in range(5):
        recorder.failed(manifest_of(model=f"model-{number}"), "x", number)
    assert {one.memory_bytes for one in recorder.collect(11_000)} == {100}
    recorder.failed(manifest_of(), "x", 11_100)
    (late,) = recorder.collect(11_500, everything=True)
    assert late.memory_bytes == 100, "a window of a moment has that of the reading just before"
    assert len(readings) == 1


def test_nothing_is_lost_between_threads():
    recorder, manifest = Recorder(50), manifest_of()
    collected = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for now_ms in range(500):
            if chance.random() < 0.1:
                recorder.failed(manifest, "bad", now_ms)
            else:
                record(recorder, manifest, IMAGE, [("1", 0.9)], 1.0, now_ms)
            collected.extend(recorder.collect(now_ms))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    collected += recorder.collect(10_000, everything=True)
    assert sum(window.count + window.errors for window in collected) == 2_000
    assert all(sum(window.confidence) == window.count for window in collected)


def test_logits_give_a_softmax_confidence_and_huge_ones_do_not_overflow():
    manifest = a_manifest()
    given = answers(manifest, {"scores": np.array([[0.0, math.log(3.0), 0.0], [-1e30, 1e30, 0.0]], np.float32)})
    assert labels(manifest, given) == ["1", "1"]
    assert given.confidence.tolist() == pytest.approx([0.6, 1.0])


def test_probabilities_are_taken_as_they_are_and_each_row_is_a_record():
    manifest = a_manifest(probabilities="chances", outputs=(Tensor("label", "INT64", (-1,)),))
    chances = np.array([[0.2, 0.7, 0.1], [0.5, 0.1, 0.4]], np.float32)
    given = answers(manifest, {"label": np.array([1, 0]), "chances": chances})
    assert labels(manifest, given) == ["1", "0"]
    assert given.confidence.tolist() == pytest.approx([0.7, 0.5])


@pytest.mark.parametrize(
    ("outputs", "code"),
    [
        ({"other": np.zeros((1, 3))}, "output-missing"),
        ({"scores": np.zeros((1, 4))}, "output-shape"),
        ({"scores": np.zeros(3)}, "output-shape"),
        ({"scores": np.zeros((0, 3))}, "output-shape"),
        ({"scores": np.array([[0.0, np.nan, 1.0]])}, "output-not-finite"),
        ({"scores": np.array([[0.0, np.inf, 1.0]])}, "output-not-finite"),
    ],
)
def test_outputs_that_the_manifest_does_not_promise_are_errors(outputs, code):
    with pytest.raises(OutputWrong) as caught:
        answers(a_manifest(), outputs)
    assert caught.value.code == code


def test_statistics_are_those_of_one_record_in_double_precision():
    inputs = {"a.b": np.array([[[9, 9]], [[0, 4]]], np.uint8), "half": np.full((1, 100_000), 10.0, np.float16)}
    assert [features.values(f"a.b.{name}", inputs, 2).tolist() for name in ("mean", "std", "min", "max", "zeros")] == [
        [9.0, 2.0],
        [0.0, 2.0],
        [9.0, 0.0],
        [9.0, 4.0],
        [0.0, 0.5],
    ]
    assert features.values("half.mean", inputs, 1).tolist() == [10.0]


@pytest.mark.parametrize("name", ["image.median", "other.mean", "image", ""])
def test_a_feature_that_this_agent_does_not_know_is_left_out(name):
    assert features.values(name, IMAGE, 1) is None

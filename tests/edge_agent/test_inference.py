"""The loop feeds the live model at its pace, counts what comes of it, and outlives bad sources and bad models."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from edge_agent import inference as inference_module
from edge_agent.errors import SourceWrong
from edge_agent.inference import Inference
from edge_agent.live import LiveModel, Loaded
from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving.engine import ServingEngine
from edge_agent.sources.source import Record, Records
from edge_agent.telemetry.tally import Tally
from edge_agent.telemetry.window import Recorder
from fleet_contract.because import Because
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import raising
from tests.fakes.waiting import until


class FakeSession:
    """Answers the label of its version, or does what `instead` does."""

    inputs = outputs = (Tensor("any", "FP32", (-1, 4)),)

    def __init__(self, label: int = 1, instead: Callable[[], None] = lambda: None) -> None:
        self._scores = np.eye(3, dtype=np.float32)[[label]]
        self._instead = instead

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._instead()
        return {"scores": self._scores}

    def close(self) -> None:
        self._scores = None


class FakeSource:
    model = "digits"

    def __init__(self, rate_per_second: float = 1_000.0) -> None:
        self.rate_per_second = rate_per_second
        self.fails = False
        self.trouble = None
        self.opened: list[int] = []

    def records(self, manifest) -> Records:
        if self.fails:
            raise SourceWrong("There is nothing to replay.")
        self.opened.append(manifest.version)
        return self.endless(np.zeros((1, 4), np.float32))

    def close(self) -> None:
        self.closed = True

    def endless(self, image: np.ndarray) -> Records:
        while True:
            yield Record({"image": image})


@contextmanager
def running(
    source: FakeSource, slot: LiveModel, recorder: Recorder, on_change: Callable[[Inference], None] = lambda _: None
) -> Iterator[Inference]:
    stop = threading.Event()
    tally = Tally(recorder)
    engine = ServingEngine(lambda key: slot if key == source.model else LiveModel(), lambda: [source.model], tally)
    inference = Inference(source, slot, engine, lambda: on_change(inference))
    thread = threading.Thread(target=inference.run, args=(stop,))
    thread.start()
    try:
        yield inference
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
        engine.close()
        tally.close()


def test_it_waits_for_a_model_and_then_counts_what_that_model_says():
    slot, recorder, source = LiveModel(), Recorder(60_000), FakeSource()
    with running(source, slot, recorder):
        time.sleep(0.05)
        assert source.opened == []
        slot.switch(Loaded(a_manifest(), FakeSession(2)))
        until(lambda: slot.health().count > 20)
    (window,) = recorder.collect(0, everything=True)
    assert window.count == slot.health().count
    assert window.predictions == {"2": window.count}
    assert window.errors == 0


def test_a_switch_while_it_runs_loses_no_record_and_mixes_none():
    slot, recorder, source = LiveModel(), Recorder(60_000), FakeSource()
    slot.switch(Loaded(a_manifest(1), FakeSession(1)))
    with running(source, slot, recorder):
        for version in (2, 1, 2):
            until(lambda: slot.health().count > 5)
            slot.switch(Loaded(a_manifest(version), FakeSession(version)))
        until(lambda: slot.health().count > 5)
    windows = recorder.collect(0, everything=True)
    assert [window.version for window in windows] == [1, 2, 1, 2]
    assert all(window.predictions == {str(window.version): window.count} for window in windows)
    assert source.opened == [1, 2, 1, 2]


def test_it_keeps_the_pace_and_does_not_catch_up_in_a_burst():
    slot, recorder, source = LiveModel(), Recorder(60_000), FakeSource(rate_per_second=50)
    slow = iter([0.5])
    slot.switch(Loaded(a_manifest(), FakeSession(1, lambda: time.sleep(next(slow, 0)))))
    began = time.monotonic()
    with running(source, slot, recorder):
        time.sleep(1.0)
    (window,) = recorder.collect(0, everything=True)
    # At its pace it would be 25 less than without the slow one.
    assert 5 <= window.count <= 50 * (time.monotonic() - began) - 20


def test_records_that_the_model_fails_are_counted_by_code():
    slot, recorder, source = LiveModel(), Recorder(60_000), FakeSource()
    slot.switch(Loaded(a_manifest(), FakeSession(1, raising(InferenceFailed("No.")))))
    with running(source, slot, recorder):
        until(lambda: slot.health().errors > 3)
    (window,) = recorder.collect(0, everything=True)
    assert window.count == 0
    assert window.error_codes == {"inference-failed": window.errors}
    assert slot.health().errors == window.errors


def test_a_model_that_breaks_its_promise_fails_the_record_and_not_the_loop():
    slot, recorder, source = LiveModel(), Recorder(60_000), FakeSource()
    slot.switch(Loaded(a_manifest(labels=("0", "1")), FakeSession(1)))
    with running(source, slot, recorder):
        until(lambda: slot.health().errors > 3)
        slot.switch(Loaded(a_manifest(2), FakeSession(1, raising(ZeroDivisionError()))))
        until(lambda: slot.health().errors > 3)
    assert [set(window.error_codes) for window in recorder.collect(0, everything=True)] == [
        {"output-shape"},
        {"inference-broken"},
    ]


def test_a_source_that_fails_is_a_trouble_and_is_tried_again(monkeypatch):
    monkeypatch.setattr(inference_module, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(inference_module, "HOLD_SECONDS", 0.1)
    slot, recorder, source = LiveModel(), Recorder(60_000), FakeSource()
    source.fails = True
    slot.switch(Loaded(a_manifest(), FakeSession(1)))
    with running(source, slot, recorder) as inference:
        until(lambda: inference.trouble)
        assert inference.trouble.code == "source-wrong"
        assert "nothing to replay" in inference.trouble.sentence
        source.fails = False
        until(lambda: inference.trouble is None and slot.health().count > 3)


def test_a_source_that_is_right_and_wrong_by_turns_is_no_stream_of_reports():
    class Flickering(FakeSource):
        def endless(self, image: np.ndarray) -> Records:
            for number in itertools.count():
                self.trouble = Because("picture-unreadable", f"{number} such.") if number % 2 else None
                yield Record({"image": image})

    slot, recorder = LiveModel(), Recorder(60_000)
    slot.switch(Loaded(a_manifest(), FakeSession(1)))
    changes: list[Because | None] = []
    with running(Flickering(), slot, recorder, lambda it: changes.append(it.trouble)) as inference:
        until(lambda: slot.health().count > 50)
        # Its sentence is that of now, for whoever asks.
        assert inference.trouble.sentence != "1 such."
    assert [one and one.code for one in changes] == ["picture-unreadable"]


def test_a_record_for_the_model_of_before_never_reaches_the_next():
    class Particular(FakeSession):
        def __init__(self, version: int) -> None:
            super().__init__(version)
            self._version = version

        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            if inputs["image"][0, 0] != self._version:
                raise InferenceFailed("This is not an input of mine.")
            return super().run(inputs)

    class Fitting(FakeSource):
        def records(self, manifest) -> Records:
            return self.endless(np.full((1, 4), manifest.version, np.float32))

    slot, recorder = LiveModel(), Recorder(60_000)
    slot.switch(Loaded(a_manifest(1), Particular(1)))
    with running(Fitting(rate_per_second=20), slot, recorder):
        until(lambda: slot.health().count > 1)
        slot.switch(Loaded(a_manifest(2), Particular(2)))
        until(lambda: slot.health().count + slot.health().errors > 1)
    assert [window.errors for window in recorder.collect(0, everything=True)] == [0, 0]

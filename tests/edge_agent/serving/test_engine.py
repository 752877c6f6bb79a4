"""The engine answers each call once, from one whole version, and says no in time when it cannot."""

import threading
import time
import weakref

import numpy as np
import pytest

from edge_agent.core.batching import Bounds
from edge_agent.live import Health
from edge_agent.runtimes.session import InferenceFailed, InputUnfit
from edge_agent.serving.port import Answered, Call, InputWrong, ModelUnknown, ModelUnready, Overloaded
from edge_agent.serving.statistics import SIZES_KEPT
from fleet_contract.because import Because
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import Answers, FakeSession, Gate, an_image, serving
from tests.fakes.waiting import until


def raising(error: Exception):
    def instead() -> None:
        raise error

    return instead


def test_a_call_is_answered_with_the_outputs_and_the_manifest_that_computed_them():
    with serving() as world:
        world.runs(FakeSession(2), a_manifest(7))
        (answer,) = world.ask().wait()
        assert isinstance(answer, Answered)
        assert answer.manifest.version == 7
        assert answer.outputs["scores"].argmax() == 2


def test_only_the_outputs_that_were_asked_for_are_given():
    both = (Tensor("scores", "FP32", (-1, 3)), Tensor("scores2", "FP32", (-1, 3)))

    class Two(FakeSession):
        def run(self, inputs):
            scores = super().run(inputs)["scores"]
            return {"scores": scores, "scores2": scores}

    with serving() as world:
        world.runs(Two(1), a_manifest(outputs=both))
        answers = Answers()
        world.engine.submit(Call("digits", an_image(), ("scores2",)), answers)
        answers.wait(1)
        world.engine.submit(Call("digits", an_image()), answers)
        one, all_of_them = answers.wait(2)
        assert list(one.outputs) == ["scores2"]
        assert list(all_of_them.outputs) == ["scores", "scores2"]
    (window,) = world.windows()
    assert window.predictions == {"1": 2}, "telemetry knows the label although nobody asked for the scores"


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({}, "'image'"),
        ({"image": np.zeros((1, 4), np.float64)}, "'image'"),
        ({"image": np.zeros((1, 5), np.float32)}, "'image'"),
        ({"image": np.zeros(4, np.float32)}, "'image'"),
        ({"image": np.zeros((0, 4), np.float32)}, "'image'"),
        ({"image": np.zeros((1, 4), ">f4")}, "'image'"),
        ({"image": np.zeros((1, 4), np.float32), "extra": np.zeros(1)}, "'extra'"),
    ],
)
def test_a_wrong_input_is_named_and_is_not_held_against_the_model(inputs, named):
    with serving() as world:
        world.runs(FakeSession(1))
        answers = Answers()
        world.engine.submit(Call("digits", inputs), answers)
        (wrong,) = answers.given
        assert isinstance(wrong, InputWrong)
        assert named in wrong.what
        assert world.slot("digits").health().errors == 0
    assert world.windows() == []


def test_an_unknown_output_is_named():
    with serving() as world:
        world.runs(FakeSession(1))
        answers = Answers()
        world.engine.submit(Call("digits", an_image(), ("sores",)), answers)
        assert isinstance(answers.given[0], InputWrong)
        assert "'sores'" in answers.given[0].what


def test_text_is_an_array_of_objects_and_fixed_dimensions_are_kept():
    manifest = a_manifest(inputs=(Tensor("image", "FP32", (2, 4)), Tensor("words", "BYTES", (-1,))))
    with serving() as world:
        world.runs(FakeSession(1), manifest)
        for rows, words, fits in (
            (2, np.array([b"a", "b"], dtype=object), True),
            (2, np.array(["a"]), True),
            (2, np.array([1], np.int64), False),
            (1, np.array([b"a"], dtype=object), False),
        ):
            answers = Answers()
            world.engine.submit(Call("digits", {**an_image(rows=rows), "words": words}), answers)
            assert isinstance(answers.wait()[0], Answered) == fits


def test_models_and_versions_that_are_not_there_are_told_apart():
    with serving("digits", "faces") as world:
        world.runs(FakeSession(1), a_manifest(3))
        for model, version, kind in (
            ("nobody", "", ModelUnknown),
            ("digits@shadow", "", ModelUnknown),
            ("digits", "2", ModelUnknown),
            ("faces", "", ModelUnready),
        ):
            assert isinstance(world.ask(model=model, version=version).given[0], kind), (model, version)
            assert not world.engine.ready(model, version)
            with pytest.raises(kind):
                world.engine.manifest(model, version)
        assert isinstance(world.ask(version="3").wait()[0], Answered)
        assert world.engine.ready("digits")
        assert world.engine.models() == ("digits", "faces"), "one that waits for its first version is there, too"
        assert set(world.slots) == {"digits", "faces", "digits@shadow", "faces@shadow"}, "asking makes no slots"


def test_who_asks_for_a_model_that_is_not_live_is_told_where_the_device_is_with_it():
    because = Because("fetching", "3 of 5 MB are here.")
    with serving(why={"digits": because}.get) as world:
        (told,) = world.ask().given
        assert isinstance(told, ModelUnready)
        assert "3 of 5 MB are here. [fetching]" in str(told)


def test_what_was_live_before_a_start_is_awaited_and_what_was_never_live_here_is_not():
    starting = [True]
    with serving("digits", "faces", starting=lambda: starting[0]) as world:
        assert world.engine.awaited() == ("digits", "faces")
        world.runs(FakeSession(1))
        assert world.engine.awaited() == ("faces",)
        starting.clear()
        starting.append(False)
        assert world.engine.awaited() == ()
        assert not world.engine.ready("faces")
        world.engine.close()
        assert world.engine.awaited() == ("digits", "faces"), "nothing answers any more"


def test_a_model_that_is_gone_is_unknown_again():
    with serving() as world:
        world.runs(FakeSession(1))
        world.ask().wait()
        world.slot("digits").switch(None)
        assert isinstance(world.ask().given[0], ModelUnready)
        del world.known["digits"]
        assert isinstance(world.ask().given[0], ModelUnknown)


def test_a_quick_model_is_run_by_who_asks_and_a_slow_one_by_workers():
    with serving() as world:
        quick, slow = FakeSession(1), FakeSession(2, lambda: time.sleep(0.003))
        world.runs(quick)
        until(lambda: world.ask().threads == [threading.current_thread().name])
        world.runs(slow, a_manifest(2))
        for _ in range(30):
            world.ask().wait()
    assert set(slow.threads[1:]) <= {"worker-0", "worker-1"}


def test_a_thread_that_has_nothing_else_to_do_runs_slower_models_too():
    with serving() as world:
        slow = FakeSession(1, lambda: time.sleep(0.012))
        world.runs(slow)
        until(lambda: world.ask(patient=True).wait() and slow.threads[-1] == threading.current_thread().name)
        world.ask().wait()
        assert slow.threads[-1].startswith("worker-")
        world.ask(rows=2, patient=True).wait()
        assert slow.threads[-1].startswith("worker-"), "twice as many rows may take twice as long"
        slower = FakeSession(2, lambda: time.sleep(0.03))
        world.runs(slower, a_manifest(2))
        for _ in range(4):
            world.ask(patient=True).wait()
    assert set(slower.threads[1:]) <= {"worker-0", "worker-1"}, "others may come meanwhile"


@pytest.mark.parametrize("fails", [False, True])
def test_one_slow_run_is_enough_to_keep_a_model_from_the_thread_that_hears_all(fails):
    seconds = [0.0005]

    def work() -> None:
        time.sleep(seconds[0])
        if fails and seconds[0] > 0.03:
            raise RuntimeError("the device has timed out")

    with serving() as world:
        session = FakeSession(1, work)
        world.runs(session)
        until(lambda: world.ask(patient=True).wait() and session.threads[-1] == threading.current_thread().name)
        seconds[0] = 0.05
        for _ in range(5):
            world.ask(patient=True).wait()
        assert session.threads[-5:].count(threading.current_thread().name) <= 1


def test_no_more_than_the_workers_run_at_once_and_no_more_than_the_queue_wait():
    gate = Gate()
    with serving(queue=3, workers=2) as world:
        world.runs(FakeSession(1, gate))
        running = [world.ask() for _ in range(2)]
        until(lambda: gate.inside == 2)
        waiting = [world.ask() for _ in range(3)]
        (refused,) = world.ask().given
        assert isinstance(refused, Overloaded)
        assert refused.retry_after_seconds >= 1
        assert gate.inside == 2
        gate.open()
        assert all(isinstance(one.wait()[0], Answered) for one in (*running, *waiting))
        found = world.engine.statistics("digits")[1]
        assert (found.success_count, found.fail_count) == (5, 1)
    assert world.slot("digits").health().count == 5


@pytest.mark.parametrize(
    "large",
    [np.zeros((1, 4096), np.float32), np.array([[b"a word of sixteen"] * 256], object)],
    ids=["numbers", "strings"],
)
def test_what_waits_is_bounded_in_bytes_too_and_a_single_call_may_be_of_any_size(large):
    gate = Gate()
    manifest = a_manifest(inputs=(Tensor("image", "BYTES" if large.dtype == object else "FP32", (-1, -1)),))
    with serving(queue=64, queue_max_bytes=3 * 16_384, workers=1) as world:
        world.runs(FakeSession(1, gate), manifest)
        answers = Answers()

        def ask(rows: int) -> None:
            world.engine.submit(Call("digits", {"image": np.repeat(large, rows, axis=0)}), answers)

        ask(1)
        until(lambda: gate.inside == 1)
        ask(8)
        assert answers.given == [], "nothing waited, so it may, however large it is"
        ask(1)
        (refused,) = answers.given
        assert isinstance(refused, Overloaded)
        assert "1 calls wait already" in str(refused)
        gate.open()
        answers.wait(3)
        for _ in range(2):
            ask(1)
        assert not any(isinstance(one, Overloaded) for one in answers.wait(5)[1:]), "what was taken makes room"
        assert world.engine._backlog.size_bytes == 0


def test_what_workers_have_taken_is_held_with_what_waits_for_them():
    large, gate = np.zeros((4, 4), np.float32), Gate()
    with serving(workers=2) as world:
        world.runs(FakeSession(1, gate))
        world.slot("digits").pause()
        answers = Answers()
        for _ in range(3):
            world.engine.submit(Call("digits", {"image": large}), answers)
        until(lambda: world.engine._backlog.count == 1)
        assert world.engine.held_bytes == 3 * large.nbytes
        world.slot("digits").resume()
        gate.open()
        answers.wait(3)
        until(lambda: world.engine.held_bytes == 0)


def test_who_asks_too_much_of_one_model_does_not_starve_another():
    gate = Gate()
    with serving("digits", "faces", queue=10, workers=1) as world:
        world.runs(FakeSession(1, gate))
        world.runs(FakeSession(2), key="faces")
        order: list[str] = []
        for model in ["digits"] * 5 + ["faces"]:
            world.engine.submit(Call(model, an_image()), lambda _, model=model: order.append(model))
        gate.open()
        until(lambda: len(order) == 6)
    assert order.index("faces") <= 2


def test_a_cancelled_call_is_not_run():
    gate = Gate()
    with serving(queue=3, workers=1) as world:
        session = FakeSession(None, gate)
        world.runs(session)
        first = world.ask(0)
        until(lambda: gate.inside == 1)
        gone = Answers()
        ticket = world.engine.submit(Call("digits", an_image(1)), gone)
        last = world.ask(2)
        ticket.cancel()
        gate.open()
        first.wait()
        last.wait()
        assert gone.given == []
        assert len(session.batches) == 2


def test_a_client_that_rests_keeps_nothing_of_a_call_that_a_worker_has_answered():
    with serving() as world:
        world.runs(FakeSession(1))
        image = an_image()
        kept, answers = weakref.ref(image["image"]), Answers()
        ticket = world.engine.submit(Call("digits", image), answers)
        assert ticket is not None
        answers.wait()
        world.tally.flush()
        del image
        until(lambda: kept() is None)


def test_a_model_that_fails_is_counted_and_the_next_call_is_answered():
    with serving() as world:
        broken = FakeSession(1, raising(InferenceFailed("No.")))
        world.runs(broken)
        (failure,) = world.ask(rows=2).wait()
        assert isinstance(failure, InferenceFailed)
        broken.instead = raising(ZeroDivisionError())
        (failure,) = world.ask().wait()
        assert failure.code == "inference-broken"
        broken.instead = lambda: None
        assert isinstance(world.ask().wait()[0], Answered)
    assert world.slot("digits").health().errors == 3
    (window,) = world.windows()
    assert (window.count, window.errors) == (1, 3)
    assert window.error_codes == {"inference-failed": 2, "inference-broken": 1}


def test_an_input_that_no_model_takes_is_its_callers_fault_and_not_held_against_the_model():
    with serving() as world:
        world.runs(FakeSession(1, raising(InputUnfit("Input 'image' cannot be taken: it is no text."))))
        for _ in range(2):
            (told,) = world.ask().wait()
            assert isinstance(told, InputWrong)
            assert "'image'" in str(told)
        assert world.slot("digits").health() == Health()
        assert world.slot("digits").leases == 0
        assert world.engine.statistics("digits")[1].fail_count == 2
    assert world.windows() == []


def test_a_caller_that_breaks_does_not_take_a_worker_along():
    with serving(workers=1) as world:
        world.runs(FakeSession(1, lambda: time.sleep(0.001)))
        world.engine.submit(Call("digits", an_image()), raising(ZeroDivisionError))
        assert isinstance(world.ask().wait()[0], Answered)


def test_where_no_worker_can_be_started_a_call_waits_and_the_next_one_tries_again(monkeypatch):
    def none(thread):
        raise RuntimeError("can't start new thread")

    with serving() as world:
        world.runs(FakeSession())
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", none)
            first = world.ask(1)
        assert first.given == []
        second = world.ask(2)
        first.wait()
        second.wait()
        assert (first.labels, second.labels) == ([1], [2])


def test_what_waits_while_the_model_is_switched_is_answered_by_the_new_one_or_told_that_it_does_not_fit():
    gate = Gate()
    with serving(workers=1) as world:
        world.runs(FakeSession(1, gate), a_manifest(1))
        first = world.ask()
        until(lambda: gate.inside == 1)
        second, pinned = world.ask(), world.ask(version="1")
        misfit = Answers()
        world.engine.submit(Call("digits", {"image": np.zeros((1, 4), np.float32)}), misfit)
        narrow = FakeSession(2)
        world.runs(narrow, a_manifest(2, inputs=(Tensor("image", "FP32", (-1, 4)),)))
        gate.open()
        assert first.wait()[0].manifest.version == 1
        assert second.wait()[0].manifest.version == 2
        assert isinstance(pinned.wait()[0], ModelUnknown)
        gate2 = Gate()
        world.runs(FakeSession(1, gate2), a_manifest(3))
        busy = world.ask()
        until(lambda: gate2.inside == 1)
        late = world.ask()
        world.runs(FakeSession(1), a_manifest(4, inputs=(Tensor("image", "FP32", (-1, 9)),)))
        gate2.open()
        busy.wait()
        assert isinstance(late.wait()[0], InputWrong)


def test_statistics_are_by_version_and_in_nanoseconds():
    with serving() as world:
        world.runs(FakeSession(1, lambda: time.sleep(0.002)), a_manifest(1))
        world.ask(rows=3).wait()
        world.runs(FakeSession(1, raising(InferenceFailed("No."))), a_manifest(2))
        world.ask().wait()
        found = world.engine.statistics("digits")
        assert set(found) == {1, 2}
        assert (found[1].inference_count, found[1].execution_count, found[1].success_count) == (3, 1, 1)
        assert found[1].compute_infer_ns >= 2_000_000
        assert found[1].success_ns >= found[1].compute_infer_ns + found[1].queue_ns
        assert abs(found[1].last_inference_ms - time.time() * 1000) < 60_000
        assert (found[2].fail_count, found[2].success_count) == (1, 0)
        with pytest.raises(ModelUnknown):
            world.engine.statistics("nobody")


def test_sizes_of_batches_are_counted_apart_up_to_a_bound_and_all_of_them_together():
    with serving() as world:
        world.runs(FakeSession(1))
        for rows in range(1, SIZES_KEPT + 11):
            world.ask(rows=rows).wait()
        found = world.engine.statistics("digits")[1]
        assert list(found.batches) == list(range(1, SIZES_KEPT + 1))
        assert found.execution_count == SIZES_KEPT + 10


def test_an_engine_that_stops_tells_those_who_wait():
    gate = Gate()
    with serving(workers=1) as world:
        world.runs(FakeSession(1, gate))
        running = world.ask()
        until(lambda: gate.inside == 1)
        waiting = world.ask()
        closing = threading.Thread(target=world.engine.close)
        closing.start()
        assert isinstance(waiting.wait()[0], ModelUnready)
        gate.open()
        closing.join(5)
        assert isinstance(running.wait()[0], Answered)
        assert isinstance(world.ask().wait()[0], ModelUnready)
        assert not world.engine.ready("digits")


def test_an_engine_stops_within_a_second_whatever_hangs():
    gate = Gate()
    with serving("digits", "noise") as world:
        quick = FakeSession(1)
        world.runs(quick)
        until(lambda: world.ask().wait() and quick.threads[-1] == threading.current_thread().name)
        world.runs(FakeSession(1, gate), a_manifest(model="noise"), "noise")
        quick.instead = gate
        asking = threading.Thread(target=world.ask)
        asking.start()
        world.ask(model="noise")
        until(lambda: gate.inside == 2)
        began = time.monotonic()
        world.engine.close()
        assert time.monotonic() - began < 1.5
        gate.open()
        asking.join(5)


def test_an_answer_that_cannot_be_counted_is_told_once(monkeypatch):
    with serving() as world:
        session = FakeSession(1)
        world.runs(session)

        def fail(*_):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(world.tally, "answered", fail)
        for _ in range(8):
            assert [type(one) for one in world.ask().wait()] == [Answered]
        assert session.threads[0].startswith("worker-")
        assert session.threads[-1] == threading.current_thread().name


def test_calls_that_wait_together_go_together_and_get_their_own_rows_back():
    gate = Gate()
    with serving(workers=1, batching={"digits": Bounds(max_rows=8)}) as world:
        session = FakeSession(None, gate)
        world.runs(session)
        first = world.ask(0)
        until(lambda: gate.inside == 1)
        others = [world.ask(label, rows=rows) for label, rows in ((1, 2), (2, 1), (0, 3), (1, 4))]
        gate.open()
        first.wait()
        for answers, label, rows in zip(others, (1, 2, 0, 1), (2, 1, 3, 4), strict=True):
            scores = answers.wait()[0].outputs["scores"]
            assert scores.argmax(axis=1).tolist() == [label] * rows
        assert session.batches == [1, 6, 4], "6 rows fit into 8, and 4 more would not"
        found = world.engine.statistics("digits")[1]
        assert (found.inference_count, found.execution_count, found.success_count) == (11, 3, 5)
        assert {rows: batch.count for rows, batch in found.batches.items()} == {1: 1, 4: 1, 6: 1}
        together = found.batches[6].compute_infer_ns
        alone = found.batches[1].compute_infer_ns + found.batches[4].compute_infer_ns
        assert found.compute_infer_ns == 3 * together + alone, "each of three that went together took as long as all"
        assert found.success_ns >= found.queue_ns + found.compute_input_ns + found.compute_infer_ns
    assert world.windows()[0].count == 11


def test_a_lonely_call_waits_for_others_no_longer_than_its_bound():
    with serving(workers=2, batching={"digits": Bounds(8, 0.05)}) as world:
        session = FakeSession(None, lambda: time.sleep(0.002))
        world.runs(session)
        began = time.monotonic()
        first = world.ask(1)
        second = world.ask(2)
        first.wait()
        second.wait()
        assert time.monotonic() - began < 2.0
        assert session.batches == [2]
        world.ask(1).wait()
        assert session.batches == [2, 1]


def test_calls_that_differ_in_more_than_their_rows_do_not_go_together():
    gate = Gate()
    with serving(workers=1, batching={"digits": Bounds(8)}) as world:
        session = FakeSession(None, gate)
        world.runs(session, a_manifest(inputs=(Tensor("image", "FP32", (-1, -1)),)))
        world.ask(0)
        until(lambda: gate.inside == 1)
        several = []
        for width in (4, 4, 5, 4):
            several.append(Answers())
            world.engine.submit(Call("digits", {"image": np.full((1, width), 2, np.float32)}), several[-1])
        gate.open()
        assert all(one.wait() and one.labels == [2] for one in several)
        assert session.batches == [1, 2, 1, 1]


def test_one_bad_record_in_a_batch_fails_alone():
    class Picky(FakeSession):
        def run(self, inputs):
            if (inputs["image"] == 2).any():
                raise InferenceFailed("I take no 2.")
            return super().run(inputs)

    gate = Gate()
    with serving(workers=1, batching={"digits": Bounds(8)}) as world:
        world.runs(Picky(None, gate))
        world.ask(0)
        until(lambda: gate.inside == 1)
        good, bad, fine = world.ask(1), world.ask(2), world.ask(1)
        gate.open()
        assert good.wait() and good.labels == [1]
        assert isinstance(bad.wait()[0], InferenceFailed)
        assert fine.wait() and fine.labels == [1]
    assert world.slot("digits").health().errors == 1


def test_a_model_that_mixes_rows_is_not_batched_for_long():
    class Summing(FakeSession):
        def run(self, inputs):
            return {"scores": super().run(inputs)["scores"].sum(axis=0, keepdims=True)}

    gate = Gate()
    with serving(workers=1, batching={"digits": Bounds(8)}) as world:
        session = Summing(None, gate)
        world.runs(session)
        world.ask(0)
        until(lambda: gate.inside == 1)
        several = [world.ask(label) for label in (1, 2)]
        gate.open()
        assert [one.wait() and one.labels for one in several] == [[1], [2]]
        assert session.batches == [1, 2, 1, 1]


def test_swaps_under_load_fail_no_call_and_no_answer_is_of_another_version_than_it_says():
    stop, wrong = threading.Event(), []
    answered: set[int] = set()

    def ask(world) -> None:
        while not stop.is_set():
            (result,) = world.ask().wait()
            if not isinstance(result, Answered) or result.outputs["scores"].argmax() != result.manifest.version % 3:
                wrong.append(result)
            else:
                answered.add(result.manifest.version)

    with serving() as world:
        sessions = [FakeSession(version % 3, lambda: time.sleep(0.0005)) for version in range(1, 21)]
        threads = [threading.Thread(target=ask, args=(world,)) for _ in range(8)]
        for version, session in enumerate(sessions, 1):
            world.runs(session, a_manifest(version))
            if version == 1:
                for thread in threads:
                    thread.start()
            until(lambda version=version: version in answered)
        stop.set()
        for thread in threads:
            thread.join(5)
    assert not wrong
    assert answered == set(range(1, 21))
    assert [session.closed for session in sessions[:-1]] == [1] * 19
    windows = world.windows()
    assert all(window.predictions == {str(window.version % 3): window.count} for window in windows)

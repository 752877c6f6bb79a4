"""What was answered is considered where it is counted, and the records that are worth it are handed over one by one."""

import math
from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.capture import tap as tap_module
from edge_agent.capture.about import About
from edge_agent.capture.choice import Rules, choose
from edge_agent.capture.tap import DRY_SECONDS, REST_SECONDS, Tap
from edge_agent.live import LiveModel, Loaded
from edge_agent.serving.in_place import Laid
from edge_agent.serving.port import Answered, Call
from edge_agent.telemetry import tally as tally_module
from edge_agent.telemetry.tally import Draws, Seen, Tally
from edge_agent.telemetry.window import Recorder
from fleet_contract.desired import SHADOW_SLOT
from fleet_contract.manifest import Histogram, Manifest, Reference, Tensor
from tests.edge_agent.serving.standing_calls import IMAGE
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import BindingSession, FakeSession, Served, an_image, serving
from tests.fakes.waiting import until

HOUR = 3600.0
#: Enough for all that a test asks for, an hour after the start.
PLENTY = 1 << 30
ALL = Rules(PLENTY, random_share=1.0)
#: Scores whose best label is surer than the second by 0.36 and by 0.02.
SURE, UNSURE = [1.0, 0.0, 0.0], [0.05, 0.0, -9.0]


class Seconds:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Kept:
    """In the place of `Keeping`."""

    def __init__(self) -> None:
        self.records: list[tuple[About, Mapping[str, np.ndarray]]] = []
        self.dropped: list[str] = []
        self.is_full = False

    def offer(self, about: About, inputs: Mapping[str, np.ndarray]) -> None:
        self.records.append((about, inputs))

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped += [reason] * count

    @property
    def reasons(self) -> list[str]:
        return [about.reason for about, _ in self.records]

    @property
    def images(self) -> list[list[float]]:
        return [inputs["image"].tolist() for _, inputs in self.records]


class Tapped:
    """A tap an hour after its start, the clock that it goes by, and what it hands over."""

    def __init__(self, rules: Rules, *numbers: float) -> None:
        self.kept, self.clock = Kept(), Seconds(0.0)
        self._numbers = list(numbers)
        self.tap = Tap(rules, self.kept, self.clock, self._draw)  # type: ignore[arg-type]
        self.clock.now = HOUR

    def _draw(self) -> float:
        return self._numbers.pop(0) if self._numbers else 0.5

    def answered(self, scores, *numbers: float, manifest: Manifest | None = None, images=None, **more) -> None:
        """One call with as many records as there are `numbers`."""
        self.tap.choose([a_call(scores, *numbers, manifest=manifest, images=images, **more)])


def a_call(scores, *numbers: float, manifest: Manifest | None = None, images=None, **more) -> Seen:
    manifest = manifest or a_manifest()
    slot = LiveModel()
    slot.switch(Loaded(manifest, FakeSession()))
    lease = slot.begin()
    slot.end(lease)
    rows = len(numbers)
    images = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4) if images is None else images
    given = None if scores is None else np.asarray(scores, np.float32)
    more.setdefault("draws", Draws(numbers))
    return Seen(slot, lease, manifest, rows, given, {"image": images}, 10.0, **more)


def test_records_that_the_model_is_not_sure_of_are_kept_with_what_it_said():
    one = Tapped(Rules(PLENTY, low_margin=0.1))
    one.answered([SURE, UNSURE, SURE], 0.5, 0.5, 0.5, manifest=a_manifest(7), now_ms=99)
    ((about, inputs),) = one.kept.records
    assert (about.reason, about.label, about.version, about.at_ms) == ("low-margin", "0", 7, 99)
    assert about.digest == a_manifest(7).artifact.digest
    assert math.isclose(about.confidence, 0.512, abs_tol=0.001)
    assert math.isclose(about.margin, 0.025, abs_tol=0.001)
    assert inputs["image"].tolist() == [[4.0, 5.0, 6.0, 7.0]]


def test_a_record_of_a_batch_keeps_no_other_in_memory():
    one = Tapped(ALL)
    images = np.zeros((1000, 4), np.float32)
    one.answered([SURE] * 1000, *[0.5] * 1000, images=images)
    assert len(one.kept.records) == 1000
    assert all(inputs["image"].base is None for _, inputs in one.kept.records)


def test_a_record_keeps_nothing_of_its_request_in_memory_but_itself():
    one = Tapped(ALL)
    body = bytes(16 + (8 << 20))
    one.answered([SURE], 0.5, images=np.frombuffer(body, np.float32, 4).reshape(1, 4))
    ((_, inputs),) = one.kept.records
    assert inputs["image"].base is None


def test_a_share_of_all_is_kept_by_chance_whatever_the_model_says_of_it():
    one = Tapped(Rules(PLENTY, random_share=0.25))
    one.answered([SURE, UNSURE, SURE, SURE], 0.1, 0.3, 0.2, 0.25)
    assert one.kept.images == [[[0, 1, 2, 3]], [[8, 9, 10, 11]]]
    assert one.kept.reasons == ["random", "random"]


def test_several_calls_that_are_counted_together_are_told_apart():
    one = Tapped(Rules(PLENTY, low_margin=0.1))
    calls = [
        a_call([SURE, UNSURE], 0.5, 0.5, images=np.full((2, 4), 1, np.float32)),
        a_call([UNSURE], 0.5, images=np.full((1, 4), 2, np.float32)),
        a_call([UNSURE, SURE], 0.5, 0.5, images=np.full((2, 4), 3, np.float32)),
    ]
    one.tap.choose(calls)
    assert [image[0][0] for image in one.kept.images] == [1, 2, 3]


def test_a_model_that_names_no_labels_is_captured_by_chance_alone():
    regression = a_manifest(labels=(), task="regression")
    one = Tapped(Rules(PLENTY, random_share=0.5, low_margin=1.0))
    assert one.tap.draws(1, regression) is None, "there is no margin that could be low"
    one.answered([[3.0]], 0.1, manifest=regression)
    one.answered([[3.0]], 0.9, manifest=regression)
    ((about, _),) = one.kept.records
    assert (about.reason, about.label, about.confidence, about.margin) == ("random", "", 0.0, 0.0)


def test_scores_that_have_no_row_for_each_record_name_no_label():
    one = Tapped(Rules(PLENTY, random_share=1.0, low_margin=1.0))
    one.answered([UNSURE, UNSURE], 0.5)
    one.answered(None, 0.5)
    assert [(about.reason, about.label) for about, _ in one.kept.records] == [("random", "")] * 2


def test_inputs_that_have_no_row_for_each_record_are_not_cut():
    one = Tapped(ALL)
    one.answered([SURE, SURE], 0.5, 0.5, images=np.zeros((1, 4), np.float32))
    assert one.kept.records == []


def test_records_to_which_a_shadow_gives_another_label_are_kept_with_both():
    one = Tapped(Rules(PLENTY, disagreement=True))
    live = a_manifest(1)
    one.answered(
        [[9, 0, 0], [0, 9, 0]],
        0.5,
        0.5,
        manifest=a_manifest(2),
        slot=SHADOW_SLOT,
        beside=(live, np.array([[3, 0, 0], [3, 0, 0]], np.float32)),
        draws=Draws(),
    )
    ((about, inputs),) = one.kept.records
    assert (about.reason, about.version, about.digest) == ("disagreement", 1, live.artifact.digest)
    assert (about.label, about.beside, about.beside_version) == ("0", "1", 2)
    assert math.isclose(about.confidence, math.exp(3) / (math.exp(3) + 2), abs_tol=1e-6), "the live version's"
    assert inputs["image"].tolist() == [[4.0, 5.0, 6.0, 7.0]]


@pytest.mark.parametrize("theirs", [None, [[1, 0, 0]], [[np.nan, 0, 0], [1, 0, 0]]])
def test_what_cannot_be_compared_is_no_disagreement(theirs):
    one = Tapped(Rules(PLENTY, disagreement=True))
    beside = (a_manifest(1), None if theirs is None else np.array(theirs, np.float32))
    scores = [[0, 9, 0], [0, 9, 0]]
    one.answered(scores, 0.5, 0.5, manifest=a_manifest(2), slot=SHADOW_SLOT, beside=beside, draws=Draws())
    one.answered(scores, 0.5, 0.5, manifest=a_manifest(2), slot=SHADOW_SLOT, beside=None, draws=Draws())
    assert one.kept.records == []


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([0.0, 0.05, 3.0]), st.floats(0, 0.999)), min_size=1, max_size=5), max_size=6
    )
)
def test_exactly_what_is_worth_it_is_kept_each_with_its_own_inputs_and_answer(calls):
    one, number, expected, seen = Tapped(Rules(1 << 60, random_share=0.3, low_margin=0.1)), 0, [], []
    for call in calls:
        rows = []
        for ahead, drawn in call:
            number += 1
            rows.append([number] * 4)
            label = number % 3
            # The label is ahead of both others by so much, before the softmax.
            if drawn < 0.3 or ahead < 0.1:
                expected.append((number, str(label) if ahead else "0", "random" if drawn < 0.3 else "low-margin"))
        scores = [
            [ahead if place == row[0] % 3 else 0.0 for place in range(3)]
            for row, (ahead, _) in zip(rows, call, strict=True)
        ]
        seen.append(a_call(scores, *(drawn for _, drawn in call), images=np.array(rows, np.float32)))
    if seen:
        one.tap.choose(seen)
    found = [(int(inputs["image"][0, 0]), about.label, about.reason) for about, inputs in one.kept.records]
    assert found == expected
    assert all(inputs["image"].shape == (1, 4) for _, inputs in one.kept.records)


def test_only_what_may_be_kept_is_copied():
    margin, chance, none = Rules(PLENTY, low_margin=0.1), Rules(PLENTY, random_share=0.1), Rules(PLENTY)
    assert Tapped(margin, 0.7, 0.6).tap.draws(2, a_manifest()) == (0.7, 0.6)
    assert Tapped(chance, 0.7, 0.05).tap.draws(2, a_manifest()) == (0.7, 0.05)
    assert Tapped(chance, 0.7, 0.2).tap.draws(2, a_manifest()) is None
    assert Tapped(none, 0.0).tap.draws(1, a_manifest()) is None
    assert not Tapped(margin).tap.compares
    assert Tapped(Rules(PLENTY, disagreement=True)).tap.compares


def test_a_reason_whose_bytes_are_spent_is_left_alone_for_a_while_and_no_other():
    one = Tapped(Rules(4096, random_share=0.5, low_margin=1.0), *[0.9] * 3, 0.1, 0.9)
    one.answered([UNSURE] * 2, 0.9, 0.9)
    assert one.kept.reasons == ["low-margin"]
    assert one.tap.draws(1, a_manifest()) is None, "low margins are paid off first"
    one.clock.now += DRY_SECONDS
    assert one.tap.draws(1, a_manifest()) is not None, "it is asked again"
    one.answered([UNSURE], 0.9)
    assert one.tap.draws(1, a_manifest()) is None
    assert one.tap.draws(1, a_manifest()) == (0.1,), "chance still has bytes"


def test_what_a_slow_disk_cannot_take_is_counted_and_costs_no_bytes_of_the_budget():
    one = Tapped(Rules(4096, low_margin=1.0))
    one.kept.is_full = True
    one.answered([UNSURE] * 3, 0.5, 0.5, 0.5)
    assert (one.kept.records, one.kept.dropped) == ([], ["behind"] * 3)
    one.kept.is_full = False
    one.answered([UNSURE] * 3, 0.5, 0.5, 0.5)
    assert one.kept.reasons == ["low-margin"], "one file is what an hour may write"


def test_considering_takes_a_share_of_a_core_and_no_more():
    one = Tapped(Rules(PLENTY, low_margin=0.1))
    large = sum(one.tap.affords(1_000_000, (0.5,)) for _ in range(10_000))
    assert 2 <= large < 100
    assert one.tap.draws(1, a_manifest()) is None, "who answers is left alone for a moment"
    one.clock.now += REST_SECONDS
    assert one.tap.draws(1, a_manifest()) is None, "a large call is paid for first"
    one.clock.now += 1.0
    assert one.tap.draws(1, a_manifest()) is not None


def test_a_call_for_which_there_is_no_time_is_counted_and_not_captured(monkeypatch):
    with serving() as world:
        world.runs(FakeSession())
        kept = tapped(world, ALL)
        monkeypatch.setattr(world.tally.tap, "affords", lambda *_: False)
        world.ask(1).wait()
        (window,) = world.windows()
    assert (window.count, kept.records) == (1, [])


def test_chance_picks_as_much_while_all_are_considered_for_their_margin_as_while_none_are():
    one = Tapped(Rules(PLENTY, random_share=0.5, low_margin=0.1), *[0.9] * 1001, 0.1, *[0.9] * 10)
    manifest = a_manifest()
    for _ in range(1000):
        if (numbers := one.tap.draws(1, manifest)) is not None:
            one.tap.affords(100_000, numbers)
    assert one.tap.draws(1, manifest) is None, "there is no time left for margins"
    assert one.tap.draws(1, manifest) == (0.1,)
    assert one.tap.affords(100_000, (0.1,))


def batch(rows: int, scores: list[float] = UNSURE) -> Seen:
    one = a_call([scores] * rows, 0.5, images=np.zeros((rows, 1), np.float32))
    one.rows, one.draws = rows, Draws(np.full(rows, 0.5))
    return one


def test_of_a_large_batch_no_record_is_weighed_once_its_reason_has_no_bytes(monkeypatch):
    weighed = []
    monkeypatch.setattr(tap_module, "choose", lambda *given: weighed.append(given) or choose(*given))
    one = Tapped(Rules(4096, low_margin=0.1))
    one.tap.choose([batch(50_000)] * 2)
    assert one.kept.reasons == ["low-margin"]
    assert len(weighed) == 3, "at the start, one that is kept, and one for which there are no bytes"


def test_of_a_large_batch_no_other_reason_is_forgotten_when_one_has_no_bytes():
    one = Tapped(Rules(8192, random_share=0.1, low_margin=0.1))
    many = batch(1000)
    numbers = np.full(1000, 0.5)
    numbers[990:] = 0.0
    many.draws = Draws(numbers)
    one.tap.choose([many])
    assert sorted(one.kept.reasons) == ["low-margin", "random"]


def test_all_of_a_large_batch_that_a_slow_disk_cannot_take_are_counted_at_once(monkeypatch):
    one, weighed = Tapped(Rules(PLENTY, low_margin=0.1)), []
    monkeypatch.setattr(tap_module, "choose", lambda *given: weighed.append(given) or choose(*given))
    one.kept.is_full = True
    one.tap.choose([batch(1000)])
    assert (len(one.kept.dropped), len(weighed)) == (1000, 1)


def test_numbers_for_a_large_batch_are_even_and_it_is_asked_for_where_one_of_them_is_picked():
    numbers = Tapped(Rules(PLENTY, low_margin=0.1)).tap.draws(100_000, a_manifest())
    assert numbers is not None
    assert np.histogram(numbers, 10, (0, 1))[0] == pytest.approx(np.full(10, 10_000), abs=1000)
    assert Tapped(Rules(PLENTY, random_share=0.001)).tap.draws(100_000, a_manifest()) is not None
    assert Tapped(Rules(PLENTY, random_share=1e-12)).tap.draws(1000, a_manifest()) is None


def test_a_batch_with_more_scores_than_may_wait_is_not_captured_and_no_numbers_are_drawn_for_it():
    tally = Tally(Recorder(60_000))
    one = Tapped(ALL)
    tally.tap = one.tap
    rows = tally_module.MOST_CAPTURED_BYTES // (8 * 4)
    assert isinstance(tally.wants(a_manifest(), {"image": np.zeros((rows // 2, 1), np.float32)}, rows // 2), Draws)
    assert tally.wants(a_manifest(), {"image": np.zeros((rows + 1, 1), np.uint8)}, rows + 1) is False
    tally.close()


def test_nothing_is_kept_where_nothing_is_captured():
    with serving() as world:
        world.runs(FakeSession())
        manifest = world.slot("digits").manifest
        assert manifest is not None
        assert world.tally.wants(manifest, an_image(), 1) is False


def tapped(world: Served, rules: Rules, *numbers: float) -> Kept:
    one = Tapped(rules, *numbers)
    world.tally.tap = one.tap
    return one.kept


def test_what_an_application_asks_is_captured_and_counted_as_before():
    with serving() as world:
        world.runs(FakeSession(), a_manifest(3))
        kept = tapped(world, Rules(PLENTY, random_share=0.5), 0.9, 0.1, 0.9)
        for label in (0, 1, 2):
            world.ask(label).wait()
        (window,) = world.windows()
        assert window.predictions == {"0": 1, "1": 1, "2": 1}
    assert kept.images == [[[1, 1, 1, 1]]]
    assert [(about.label, about.version) for about, _ in kept.records] == [("1", 3)]


@pytest.mark.parametrize("time_for_features", [True, False])
def test_features_are_counted_of_what_is_captured_as_of_all_else(monkeypatch, time_for_features):
    reference = Reference(10, {"0": 10}, Histogram((0.5,), (1, 1)), {"image.mean": Histogram((0.5,), (1, 1))})
    with serving() as world:
        world.runs(FakeSession(), msgspec.structs.replace(a_manifest(), reference=reference))
        kept = tapped(world, ALL)
        monkeypatch.setattr(world.tally._budget, "allows", lambda _: time_for_features)
        world.ask(1).wait()
        (window,) = world.windows()
    assert len(kept.records) == 1
    assert window.features == {"image.mean": (0, 1 if time_for_features else 0)}


def test_calls_that_go_together_are_captured_each_by_itself():
    with serving() as world:
        world.runs(FakeSession())
        kept = tapped(world, ALL)
        world.ask(1, rows=3).wait()
        world.windows()
    assert kept.images == [[[1, 1, 1, 1]]] * 3


def test_a_standing_call_whose_arrays_are_written_to_again_is_captured_as_it_was():
    with serving() as world:
        world.runs(BindingSession())
        until(lambda: world.ask().given)
        call = world.engine.standing(Call("digits", an_image()), IMAGE)
        assert call is not None
        until(lambda: call.ready(patient=True))
        world.windows()
        kept = tapped(world, ALL)
        for label in (0, 1, 2, 2):
            assert isinstance(call.run(an_image(label)["image"].tobytes(), patient=True), Answered)
        call.sent()
        (window,) = world.windows()
        assert window.count == 4
    assert [image[0][0] for image in kept.images] == [0, 1, 2, 2]


def test_memory_that_its_client_may_write_to_is_copied_before_the_answer_or_not_captured():
    image = np.zeros((1, 4), np.float32)
    laid = Laid({"image": image}, {"scores": memoryview(np.zeros((1, 3), np.float32)).cast("B")})
    with serving() as world:
        world.runs(BindingSession())
        until(lambda: world.ask().given)
        call = world.engine.standing(Call("digits", an_image()), IMAGE)
        assert call is not None
        until(lambda: call.ready(patient=True))
        world.windows()
        kept = tapped(world, Rules(PLENTY, random_share=0.5), 0.9, 0.1)
        image[:] = 1
        assert call.run_in_place(laid, patient=True) is not None, "it is not considered, and read where it lies"
        image[:] = np.nan
        call.sent()
        image[:] = 2
        assert call.run_in_place(laid, patient=True) is None, "it is to be fetched"
        assert isinstance(call.run(image.tobytes(), patient=True), Answered)
        image[:] = np.nan
        call.sent()
        (window,) = world.windows()
        assert window.predictions == {"1": 1, "2": 1}
    assert kept.images == [[[2, 2, 2, 2]]]


def test_a_live_model_and_its_shadow_disagree(monkeypatch):
    monkeypatch.setattr("edge_agent.serving.shadow._give_way", lambda: None)
    monkeypatch.setattr("edge_agent.serving.shadow.TRICKLE_SHARE", 1.0)
    with serving() as world:
        world.runs(FakeSession(None), a_manifest(1))
        world.runs(FakeSession(1), a_manifest(2), key="digits@shadow")
        kept = tapped(world, Rules(PLENTY, disagreement=True))
        for count, label in enumerate((1, 2), 1):
            world.ask(label).wait()
            until(lambda count=count: world.slot("digits@shadow").health().count == count)
    assert [(about.label, about.beside) for about, _ in kept.records] == [("2", "1")]
    assert kept.images == [[[2, 2, 2, 2]]]


def test_a_fault_in_it_ends_no_counting(caplog):
    with serving() as world:
        world.runs(FakeSession(1))
        kept = tapped(world, ALL)
        kept.offer = None  # type: ignore[method-assign, assignment]
        world.ask().wait()
        (window,) = world.windows()
        assert window.count == 1
    assert "could not be considered" in caplog.text


def test_what_waits_to_be_considered_is_bounded_so_that_nobody_who_answers_has_to_count(monkeypatch):
    monkeypatch.setattr(tally_module, "GATHER_SECONDS", 30.0)
    tally = Tally(Recorder(60_000))
    tally.tap = Tapped(ALL).tap
    manifest = a_manifest(inputs=(Tensor("image", "FP32", (-1, -1)),))
    large = np.zeros((1, tally_module.MOST_CAPTURED_BYTES // 8), np.float32)
    wanted = []
    for _ in range(3):
        one = a_call([SURE], 0.5, manifest=manifest, images=large)
        one.inputs = one.draws = None
        wanted.append(tally.wants(manifest, {"image": large}))
        one.keep({"image": large}, wanted[-1])
        tally.answered(one)
    assert [isinstance(one, Draws) for one in wanted] == [True, False, False]
    assert not isinstance(tally.wants(manifest, {"image": np.zeros((1, 1 << 22), np.float32)}), Draws)
    tally.close()
    small, waiting = np.zeros((1, 4), np.float32), 0
    while isinstance(tally.wants(manifest, {"image": small}), Draws):
        tally.answered(a_call([SURE], 0.5, manifest=manifest, images=small))
        waiting += 1
    assert waiting == tally_module.MOST_CAPTURED_RECORDS
    tally.close()

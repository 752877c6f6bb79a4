"""What a call must bring to fit a model: inputs of its signature, and outputs that it has."""

import numpy as np
import pytest

from edge_agent.live import Health
from edge_agent.runtimes.session import InputUnfit
from edge_agent.serving.port import Answered, Call, InputWrong
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import Answers, FakeSession, an_image, raising, serving


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

"""Compiling tries the ways there are, keeps the best inside the budget, and refuses with the numbers."""

import numpy as np
import pytest

from models.compiler.compiling import Truth, compile_for
from models.compiler.quantize import prepare, quantize
from models.compiler.session import Model, quiet
from models.compiler.targets import TARGETS, target
from models.errors import OverBudget, TargetUnknown
from models.recipe import Budget, Data
from tests.models.compiler import graphs

BUDGET = Budget(accuracy_loss=0.01, min_agreement=0.98)
CLASSES = 4


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet()


def truth(source: bytes, records: np.ndarray) -> Truth:
    outputs = Model(source).run({"x": records})
    return Truth(Data({"x": records}, outputs["scores"].argmax(1)), outputs, "scores")


def easy() -> tuple[bytes, np.ndarray]:
    """Each record is plainly of one class."""
    weights, bias = np.eye(CLASSES, dtype=np.float32), np.zeros(CLASSES, np.float32)
    return graphs.linear(weights, bias), np.eye(CLASSES, dtype=np.float32)[np.arange(400) % CLASSES]


def uneven() -> tuple[bytes, np.ndarray]:
    """One huge weight, on an input that is always 0: with one scale for all weights, the others round to nothing."""
    weights = np.zeros((CLASSES + 1, CLASSES), np.float32)
    weights[:CLASSES] = np.eye(CLASSES)
    weights[CLASSES, 0] = 1000
    records = np.eye(CLASSES + 1, dtype=np.float32)[np.arange(400) % CLASSES]
    records[np.arange(400) % CLASSES == 0] = 0
    return graphs.linear(weights, np.array([0.1, 0, 0, 0], np.float32)), records


def hopeless() -> tuple[bytes, np.ndarray]:
    """One input of a million beside those that decide: 8 bits cannot hold both."""
    random = np.random.default_rng(0)
    weights = random.normal(size=(8, CLASSES)).astype(np.float32)
    weights[0] = 0
    records = random.uniform(-1, 1, (400, 8)).astype(np.float32)
    records[::7, 0] = 1e6
    return graphs.linear(weights, np.zeros(CLASSES, np.float32)), records


@pytest.mark.parametrize("name", TARGETS)
def test_of_two_equally_good_ways_the_smaller_wins(name: str) -> None:
    source, records = easy()
    told: list[str] = []
    compiled = compile_for(target(name), source, {"x": records}, truth(source, records), BUDGET, told.append)
    assert not compiled.per_channel
    assert compiled.evidence.size_bytes == len(compiled.onnx)
    assert [line.split(":")[0] for line in told] == [f"{name} per tensor", f"{name} per channel"]


@pytest.mark.parametrize("name", TARGETS)
def test_per_channel_wins_where_it_helps(name: str) -> None:
    source, records = uneven()
    compiled = compile_for(target(name), source, {"x": records}, truth(source, records), BUDGET, lambda _: None)
    assert compiled.per_channel


@pytest.mark.parametrize("name", TARGETS)
def test_a_source_that_loses_too_much_is_refused_with_the_numbers(name: str) -> None:
    source, records = hopeless()
    with pytest.raises(OverBudget) as refused:
        compile_for(target(name), source, {"x": records}, truth(source, records), BUDGET, lambda _: None)
    assert refused.value.code == "over-budget"
    assert "its source has 1.0000 (it may lose 0.0100)" in refused.value.what
    assert "of 400 records (it must on 0.9800)" in refused.value.what


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_bias_that_fusing_left_two_dimensional_is_compiled_all_the_same(per_channel: bool) -> None:
    random = np.random.default_rng(0)
    weights, bias = random.normal(size=(8, CLASSES)).astype(np.float32), np.ones((1, CLASSES), np.float32)
    source = graphs.linear(weights, bias, fused=False)
    records = random.uniform(-1, 1, (64, 8)).astype(np.float32)
    compiled = quantize(prepare(source), target("cpu-vnni"), per_channel, {"x": records})
    expected = Model(source).run({"x": records})["scores"]
    assert np.abs(Model(compiled, exact=True).run({"x": records})["scores"] - expected).max() < 0.1


def test_seven_bit_weights_answer_alike_whether_or_not_the_processor_saturates() -> None:
    # All inputs and weights at their largest: two products fill 16 bits, and eight-bit weights would overflow them.
    weights, bias = np.ones((64, CLASSES), np.float32), np.zeros(CLASSES, np.float32)
    source, records = graphs.linear(weights, bias), np.ones((16, 64), np.float32)
    compiled = quantize(prepare(source), target("cpu-avx2"), False, {"x": records})
    here, exact = (Model(compiled, exact=exact).run({"x": records})["scores"] for exact in (False, True))
    assert np.array_equal(here, exact)
    assert np.abs(here - 64).max() < 1


def test_an_unknown_target_is_answered_with_those_there_are() -> None:
    with pytest.raises(TargetUnknown, match="cpu-vnni, cpu-avx2"):
        target("npu-9000")

"""The names of a TFLite file's tensors are those of the first signature that is of the main graph, and of all of it."""

import pytest

from fleet_contract.tflite import Names, Signature, names

WHOLE = Signature(0, {"image": 3}, {"scores": 7})


@pytest.mark.parametrize(
    ("signatures", "expected"),
    [
        ([], Names()),
        ([WHOLE], Names({3: "image"}, {7: "scores"})),
        ([Signature(1, {"other": 3}, {"others": 7}), WHOLE], Names({3: "image"}, {7: "scores"})),
        ([Signature(1, {"other": 3}, {"others": 7})], Names()),
        ([Signature(0, {"image": 3}, {})], Names()),
        ([Signature(0, {"image": 3, "mask": 4}, {"scores": 7})], Names()),
        ([Signature(0, {"scores": 7}, {"image": 3})], Names()),
        ([WHOLE, Signature(0, {"x": 3}, {"y": 7})], Names({3: "image"}, {7: "scores"})),
    ],
)
def test_names(signatures: list[Signature], expected: Names) -> None:
    assert names([3], [7], signatures) == expected


def test_a_tensor_that_goes_through_has_a_name_on_each_side() -> None:
    assert names([3], [3], [Signature(0, {"x": 3}, {"y": 3})]) == Names({3: "x"}, {3: "y"})

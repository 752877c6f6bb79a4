"""The compiler knows the tensors of a TFLite model by the names by which a device does."""

import numpy as np
import pytest

from models.compiler.tflite import TfliteModel
from tests.edge_agent.runtimes.files import model

NAMES = {
    "linear": (["image"], ["scores"]),
    "signature": (["image"], ["scores"]),
    "signatures": (["x"], ["y"]),
    "passing": (["x"], ["y", "twice"]),
}


@pytest.mark.parametrize("name", NAMES)
def test_tensors_have_the_names_of_the_main_graphs_own_signature(name: str) -> None:
    made = TfliteModel(model("tflite", name))
    assert ([one.name for one in made.inputs], [one.name for one in made.outputs]) == NAMES[name]
    (taken,) = made.inputs
    assert made.run({taken.name: np.zeros((1, taken.shape[1]), np.float32)}).keys() == set(NAMES[name][1])

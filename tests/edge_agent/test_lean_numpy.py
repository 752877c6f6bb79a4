"""NumPy without its documentation is NumPy."""

import importlib.util
import subprocess
import sys

import pytest

from edge_agent import lean_numpy

_USES = """
from edge_agent import lean_numpy
lean_numpy.prepare()
import numpy
assert not numpy.ndarray.__doc__, "the documentation is there"
# Parts that are imported only on demand, some of which look at the documentation of what they are made of.
import numpy.fft, numpy.linalg, numpy.ma, numpy.polynomial, numpy.random, numpy.testing
assert numpy.linalg.norm(numpy.ones(4)) == 2.0
assert numpy.ma.masked_less(numpy.arange(4), 2).sum() == 5
assert numpy.random.default_rng(1).random(3).shape == (3,)
import onnxruntime
assert "CPUExecutionProvider" in onnxruntime.get_available_providers()
"""


def test_all_of_it_works() -> None:
    subprocess.run([sys.executable, "-c", _USES], check=True)


@pytest.mark.parametrize("module", lean_numpy._DOCUMENTATION)
def test_the_documentation_is_where_it_is_looked_for(module: str) -> None:
    """Or the start is slower again, and nobody notices."""
    assert importlib.util.find_spec(module) is not None


def test_a_numpy_that_is_there_keeps_its_documentation() -> None:
    program = "import numpy; from edge_agent import lean_numpy; lean_numpy.prepare(); assert numpy.ndarray.__doc__"
    subprocess.run([sys.executable, "-c", program], check=True)

"""A runtime and a source start at the same moment, each on a thread of its own, and both need NumPy.

A thread that imports a part of NumPy while another is in the middle of NumPy breaks both imports, and a runtime that
cannot be imported rejects a good release. One that imports NumPy as a whole waits.
"""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "runtime"),
    [("edge_agent.runtimes.onnx", "onnxruntime"), ("edge_agent.runtimes.litert", "ai_edge_litert")],
)
def test_numpy_is_imported_as_a_whole_before_a_runtime_imports_parts_of_it(module: str, runtime: str) -> None:
    # Modules are listed in the order in which their imports have ended.
    order = (
        f"import sys, {module}; names = list(sys.modules); "
        f"print(names.index('numpy') < min(names.index(one) for one in names if one.startswith('{runtime}')))"
    )
    done = subprocess.run([sys.executable, "-c", order], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "True"

"""What runs on an owner's machines talks to nobody else: the runtime's own telemetry stays off.

ONNX Runtime keeps an id of the machine and a queue of what it will send in its user's folders, and so gives itself
away. That it does is not tested here, since it would be sent.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.built import Digits, digits  # noqa: F401
from tests.fakes.tiny_tflite import a_linear_tflite

ROOT = Path(__file__).parent.parent
AGENT = (
    "from pathlib import Path; from edge_agent.runtimes import open_session; open_session('onnx', Path({!r})).close()"
)
LITERT = AGENT.replace("'onnx'", "'tflite'")
TOOLCHAIN = "from pathlib import Path; from models.compiler.session import Model; Model(Path({!r}).read_bytes())"


def left_behind(home: Path, code: str) -> list[str]:
    """What a Python that runs `code` leaves in its home and working folder."""
    home.mkdir()
    # Nothing else of our environment: on a build server the runtime would stay silent by itself.
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env={"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=60,
    )
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


@pytest.mark.parametrize("code", [AGENT, TOOLCHAIN], ids=["agent", "toolchain"])
def test_loading_a_model_leaves_no_trace_of_the_runtimes_telemetry(
    tmp_path: Path,
    digits: Digits,  # noqa: F811
    code: str,
) -> None:
    artifact = str(digits.good / "artifact.cpu-vnni.onnx")
    assert left_behind(tmp_path / "home", code.format(artifact)) == []


def test_nor_does_litert_leave_any(tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    artifact.write_bytes(a_linear_tflite(1))
    assert left_behind(tmp_path / "home", LITERT.format(str(artifact))) == []

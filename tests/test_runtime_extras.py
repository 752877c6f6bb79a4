"""A gateway may have LiteRT or tflite-runtime and no ONNX Runtime: the same files run there, held to the same suite."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.edge_agent.runtimes import files
from tests.test_edge_extra import pinned

ROOT = Path(__file__).parent.parent
RUNNER = ("pytest", "iniconfig", "packaging", "pluggy", "pygments", "pytest-timeout", "hypothesis", "sortedcontainers")
#: What needs no broker and writes no models.
SUITE = ("tests/edge_agent/runtimes/test_conformance.py", "tests/edge_agent/runtimes/test_litert.py")
INSTALLED = {"litert": "ai_edge_litert", "tflite": "tflite_runtime"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has wheels for Python 3.11 and older")
@pytest.mark.parametrize("extra", INSTALLED)
def test_the_same_tflite_files_pass_the_same_suite(tmp_path: Path, extra: str) -> None:
    venv.create(tmp_path / extra, with_pip=True)
    python = tmp_path / extra / "bin" / "python"
    (tmp_path / "tools.txt").write_text(pinned(RUNNER))
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]
    subprocess.run([*install, ROOT / "locks" / f"{extra}.txt"], check=True)
    subprocess.run([*install, tmp_path / "tools.txt"], check=True)
    absent = subprocess.run([python, "-c", "import onnxruntime"], check=False, capture_output=True)
    assert absent.returncode != 0

    models = tmp_path / "models"
    models.mkdir()
    files.write_tflite(models)
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not onnx", *SUITE],
        cwd=ROOT,
        env={**os.environ, "VEDETTE_MODELS": str(models)},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    sys.stdout.write(run.stdout)
    assert run.returncode == 0
    assert re.search(r"\d+ passed", run.stdout)
    assert "skipped" not in run.stdout
    which = [python, "-c", "from edge_agent.runtimes import litert; print(litert.VERSION)"]
    said = subprocess.run(which, cwd=ROOT, check=True, capture_output=True, text=True)
    assert said.stdout.startswith(INSTALLED[extra])

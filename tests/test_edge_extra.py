"""A gateway has the `edge` extra and nothing else: the agent's own tests pass there."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: What the agent's tests need beside the agent: a runner, a broker to talk to, and a way to make tiny models.
TOOLS = (
    "pytest", "iniconfig", "packaging", "pluggy", "pygments", "pytest-timeout", "hypothesis", "sortedcontainers",
    "iotcore", "onnx", "protobuf", "grpcio", "ml-dtypes", "typing-extensions", "numpy",
    "ai-edge-litert", "backports-strenum", "flatbuffers", "tqdm",
    "pillow", "opencv-python-headless",
)  # fmt: skip
HUB_SIDE = ("pydantic", "fastapi", "sqlalchemy", "sqlmodel", "deltalake", "duckdb", "sklearn")


def pinned(names: tuple[str, ...]) -> str:
    entries = re.split(r"\n(?=\S)", (ROOT / "locks" / "dev.txt").read_text().strip())
    chosen = [entry for entry in entries if entry.partition("==")[0].lower() in names]
    assert {entry.partition("==")[0].lower() for entry in chosen} == set(names)
    return "\n".join(chosen)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_agents_tests_pass_with_the_edge_extra_alone(tmp_path: Path) -> None:
    venv.create(tmp_path / "edge", with_pip=True)
    python = tmp_path / "edge" / "bin" / "python"
    (tmp_path / "tools.txt").write_text(pinned(TOOLS))
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]
    subprocess.run([*install, ROOT / "locks" / "edge.txt"], check=True)
    subprocess.run([*install, tmp_path / "tools.txt"], check=True)

    for package in HUB_SIDE:
        absent = subprocess.run([python, "-c", f"import {package}"], check=False, capture_output=True)
        assert absent.returncode != 0, f"{package} came with the edge extra"
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not live", "tests/edge_agent"],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    sys.stdout.write(run.stdout)
    assert run.returncode == 0
    assert re.search(r"\d+ passed", run.stdout)

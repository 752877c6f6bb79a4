"""The agent stays light: what it imports, and that nothing has crept in."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edge_agent import __version__

ROOT = Path(__file__).parents[2]


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def running() -> set[str]:
    return modules_after("import edge_agent.agent")


@pytest.mark.parametrize(
    "module",
    [
        *("pydantic", "fastapi", "sqlalchemy", "sqlmodel", "psutil", "urllib3", "requests", "asyncio", "click", "rich"),
        *("onnxruntime", "cryptography.x509", "importlib.metadata", "edge_agent.join", "edge_agent.transport.tls"),
        # What takes long to import and no model needs: applications wait for the models.
        *("paho", "urllib.request", "http.client", "email", "ssl", "numpy"),
    ],
)
def test_a_running_agent_does_not_import(running, module):
    assert module not in running


def test_help_needs_neither_numpy_nor_a_broker():
    loaded = modules_after("import edge_agent.cli")
    assert not loaded & {"numpy", "paho", "cryptography", "onnxruntime"}


def test_the_version_is_that_of_the_distribution():
    assert __version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

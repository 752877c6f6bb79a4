"""The layers hold, and the check that says so can fail."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("fleet_contract", "edge_agent", "cloud_hub", "fleet_client", "models", "provisioning")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


def test_every_layer_is_kept() -> None:
    checked = lint_imports(ROOT)
    assert checked.returncode == 0, checked.stdout
    assert " 0 broken" in checked.stdout


#: A line in a module, and the contract that it breaks.
PLANTED = (
    ("fleet_contract/topics.py", "import edge_agent", "The contract stands alone"),
    ("edge_agent/config.py", "import pydantic", "The agent knows the rest only through the contract"),
    ("edge_agent/core/update.py", "import time", "Deciding code does no I/O"),
    ("cloud_hub/rollouts/engine/decide.py", "import random", "Deciding code does no I/O"),
    ("cloud_hub/monitoring/gates/judge.py", "import sqlalchemy", "Deciding code does no I/O"),
    ("cloud_hub/devices/selectors.py", "import sqlalchemy", "Deciding code does no I/O"),
    ("cloud_hub/app.py", "import edge_agent", "The hub knows neither agent nor client"),
    ("cloud_hub/app.py", "import models.compiler", "Only the compile worker knows the compiler"),
    ("models/errors.py", "import cloud_hub", "The model toolchain and provisioning know nobody else"),
    ("models/errors.py", "import provisioning", "models and provisioning do not know each other"),
    ("fleet_client/errors.py", "import fastapi", "The client knows the rest only through the contract"),
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the check says of each contract, by its name, once all of these lines are there."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            if "node_modules" in source.parts:
                continue
            copy = folder / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(source.read_text())
    for module, line, _ in PLANTED:
        with (folder / module).open("a") as planted:
            planted.write(f"\n{line}\n")
    checked = lint_imports(folder)
    assert checked.returncode == 1
    # A title and a rule under it, then what breaks the contract.
    parts = re.split(r"^(.+)\n-+$", checked.stdout[checked.stdout.index("Broken contracts") :], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(("module", "line", "contract"), PLANTED)
def test_a_forbidden_import_is_caught(told: dict[str, str], module: str, line: str, contract: str) -> None:
    importer = module.removesuffix(".py").replace("/", ".")
    (broken,) = [how for name, how in told.items() if name.startswith(contract)]
    assert re.search(rf"{importer} -> {line.removeprefix('import ')}\b", broken), broken

"""What the repository promises to whoever installs it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "locks").glob("*.txt"))


def imported_by(statement: str) -> set[str]:
    """The top-level names of what a fresh interpreter has imported after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_by_hash_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"https?://|--index|--find-links", text)
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._\[\],-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("extra", ["edge", "hub", "demo", "dev", "node", "build"])
def test_a_lock_holds_what_its_extra_asks_for(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def asked(name: str) -> set[str]:
        found: set[str] = set()
        for requirement in extras[name]:
            if nested := re.match(r"vedette\[(.+)\]", requirement):
                found |= {one for inner in nested[1].split(",") for one in asked(inner)}
            else:
                found.add(re.split(r"[<>=\[ ;]", requirement)[0].lower())
        return found

    locked = set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "locks" / f"{extra}.txt").read_text(), re.MULTILINE))
    base = {re.split(r"[<>=\[ ;]", requirement)[0].lower() for requirement in project["dependencies"]}
    assert asked(extra) | base <= {name.lower() for name in locked}


def test_the_command_line_starts_without_what_it_does_not_need() -> None:
    loaded = imported_by("import fleet_client.cli.main")
    assert not loaded & {"fastapi", "sqlmodel", "sqlalchemy", "pydantic", "onnxruntime", "numpy", "rich"}


def test_the_agent_starts_without_what_would_weigh_on_a_gateway() -> None:
    loaded = imported_by("import edge_agent.agent")
    assert not loaded & {"pydantic", "fastapi", "sqlalchemy", "sqlmodel", "rich", "click", "boto3"}


def test_the_architecture_page_names_only_what_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = {*re.findall(r"`([a-z_]+/[\w./]*)`", page), *re.findall(r"\]\(([\w./-]+)\)", page)}
    assert len(named) > 20
    missing = [path for path in named if not (ROOT / path).exists() and not (ROOT / "docs" / path).exists()]
    assert not missing


def test_the_changelog_tells_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs" / "adr").glob("*.md")]
    assert len(numbers) == len(set(numbers))

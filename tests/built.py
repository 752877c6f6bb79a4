"""Real builds of the catalogue's digits, for every suite that needs a model: made once a machine, then kept.

A suite takes them with `from tests.built import digits  # noqa: F401` in its conftest.py, as the fixture `digits`.
They lie in pytest's cache folder, under a name that changes with the toolchain's code and packages, and are made by
whichever worker comes first.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
TARGETS = ("cpu-vnni", "cpu-avx2")
_KEPT_SECONDS = 24 * 3600
_PACKAGES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy", "msgspec")


@dataclass(frozen=True)
class Digits:
    """Folders as `python -m models build` makes them (read them, or copy them first), and data to replay.

    `good` is the whole training set's; `worse` has only seen 0, 1, 2 and 3. `summary` is what each build printed.
    """

    good: Path
    worse: Path
    replay: Path
    summary: dict[str, Any]


@pytest.fixture(scope="session")
def digits(pytestconfig: pytest.Config) -> Digits:
    """The two versions of digits."""
    return built_digits(pytestconfig.cache.mkdir("vedette"))


def built_digits(cache: Path) -> Digits:
    """The builds in `cache`, made if they are not there yet."""
    folder = cache / f"digits-{_key()}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "summary.json").exists():
            for old in cache.glob("digits-*"):
                # Another run, of the code as it was, may be reading a younger one.
                if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                    shutil.rmtree(old)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            summary = {
                "good": _models("build", "digits", "--out", folder / "good", "-o", "json"),
                "worse": _models("build", "digits", "--out", folder / "worse", "--train-images", 40, "-o", "json"),
            }
            _models("replay", "digits", "--out", folder / "replay.npz")
            # Written last: a build that was cut off is made again.
            (folder / "summary.json").write_text(json.dumps(summary))
    summary = json.loads((folder / "summary.json").read_text())
    return Digits(folder / "good", folder / "worse", folder / "replay.npz", summary)


def _models(*arguments: object) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "models", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def _key() -> str:
    digest = hashlib.sha256(" ".join(version(package) for package in _PACKAGES).encode())
    for path in sorted(
        [*ROOT.glob("models/**/*.py"), *ROOT.glob("models/**/*.toml"), *ROOT.glob("fleet_contract/*.py")]
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

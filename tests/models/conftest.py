"""What the toolchain's tests share: real builds, and a copy of one to damage."""

import shutil
from pathlib import Path

import pytest

from tests.built import Digits, digits  # noqa: F401


@pytest.fixture
def version(digits: Digits, tmp_path: Path) -> Path:  # noqa: F811
    """A copy of the good version's folder."""
    return Path(shutil.copytree(digits.good, tmp_path / "version"))

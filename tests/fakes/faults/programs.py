"""The programs of this folder, run to their answer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]


def said(program: str, folder: Path, *arguments: str) -> Any:
    """What `program` ("sweep" or "crashes") says of a run in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"tests.fakes.faults.{program}", str(folder), *arguments]
    # What dies there says so there; what matters is in the answer.
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=_ROOT)
    return json.loads(run.stdout.splitlines()[-1])


def violations(answer: Any) -> tuple[str, ...]:
    """The laws that were broken, each with the recipe to see it again."""
    return tuple(f"{one['recipe']}: {one['what']}" for one in answer["violations"])

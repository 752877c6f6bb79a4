"""`vedette-agent` whose models hang from the moment a file appears: `python -m tests.fakes.wedged_agent FILE run ...`.

The file says how: "asleep", where the rest of the process goes on, or "holding", where it keeps Python's lock.
"""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

# As the command line does it: a thread of the library's would take the word to stop, and end the process with it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from edge_agent import agent, cli, feeds
from edge_agent.runtimes.onnx import OnnxSession

#: Long enough for a busy machine, short enough to wait for.
HANG_SECONDS = 3.0


def wedge(file: Path) -> None:
    """Hangs for good, as the file says."""
    if file.exists():
        match file.read_text().strip():
            case "asleep":
                time.sleep(3600)
            case "holding":
                ctypes.PyDLL(None).sleep(3600)


def main(file: Path, arguments: list[str]) -> int:
    run = OnnxSession.run

    def hanging(self: OnnxSession, *inputs: Any) -> Any:
        wedge(file)
        return run(self, *inputs)

    OnnxSession.run = hanging  # type: ignore[method-assign]
    feeds.HANG_SECONDS = HANG_SECONDS
    # Before the updater sees it, which would give the model up.
    agent._PATIENCE = 0.0
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

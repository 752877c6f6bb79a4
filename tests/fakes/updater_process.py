"""`python updater_process.py FOLDER HUB [DEADLY]`: an updater in a process of its own, to be killed.

It reads desired states from its input, one a line, and writes a line of JSON for each change. Loading an artifact
whose digest is DEADLY ends the process as the kernel would.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from edge_agent.core.steps import Trial
from edge_agent.runtimes import open_session
from edge_agent.runtimes.session import Session
from edge_agent.update.updater import Updater
from tests.fakes.device import TRUST


def main() -> None:
    folder, hub, deadly = Path(sys.argv[1]), sys.argv[2], "".join(sys.argv[3:])

    def opener(runtime: str, path: Path) -> Session:
        if path.name == deadly.removeprefix("sha256:"):
            os.kill(os.getpid(), signal.SIGKILL)
        return open_session(runtime, path)

    updater = Updater(folder, TRUST, hub, opener=opener, trial=Trial(seconds=0.0))

    def tell() -> None:
        for one in updater.state().models:
            running = None if one.running is None else one.running.version
            sys.stdout.write(json.dumps([one.phase, one.because.code, running]) + "\n")
        sys.stdout.flush()

    updater.on_change = tell
    tell()
    stop = threading.Event()
    threading.Thread(target=updater.run, args=(stop,), daemon=True).start()
    for line in sys.stdin.buffer:
        updater.receive(line)


if __name__ == "__main__":
    main()

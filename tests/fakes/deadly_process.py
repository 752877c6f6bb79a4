"""`python deadly_process.py FOLDER HUB DIGEST WHEN HOW`: an updater whose models are asked all the time.

WHEN the artifact DIGEST is "loading" or "answering", the process ends: by the signal HOW (SIGSEGV, SIGKILL), or it
"hangs". It reads desired states from its input, one a line, and writes a line of JSON for each change. When its input
ends it ends, with no model at work.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from edge_agent.core.limits import Limits
from edge_agent.core.steps import Trial
from edge_agent.runtimes import open_session
from edge_agent.runtimes.session import Array, Session
from edge_agent.update.updater import Updater
from tests.fakes.device import TRUST
from tests.fakes.tiny_models import images


def end(how: str) -> None:
    if how == "hangs":
        time.sleep(3600)
    os.kill(os.getpid(), signal.Signals[how]) if how == "SIGKILL" else signal.raise_signal(signal.Signals[how])


class Deadly:
    """A session that ends the process once `armed` is set."""

    def __init__(self, session: Session, how: str, armed: threading.Event) -> None:
        self.inputs, self.outputs = session.inputs, session.outputs
        self._session, self._how, self._armed = session, how, armed

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if self._armed.is_set():
            end(self._how)
        return self._session.run(inputs)

    def close(self) -> None:
        self._session.close()


def main() -> None:
    folder, hub, digest, when, how = Path(sys.argv[1]), *sys.argv[2:]
    armed = threading.Event()

    def opener(runtime: str, path: Path) -> Session:
        session = open_session(runtime, path)
        if f"sha256:{path.name}" != digest:
            return session
        if when == "loading":
            end(how)
        return Deadly(session, how, armed) if when == "answering" else session

    # Long enough for a good model on a busy machine.
    limits = Limits(hang_seconds=4.0, load_seconds=4.0) if how == "hangs" else Limits()
    updater = Updater(folder, TRUST, hub, opener=opener, limits=limits, trial=Trial(records=10_000, seconds=0.5))
    updater.watch()

    def tell() -> None:
        for one in updater.state().models:
            running = None if one.running is None else one.running.version
            sys.stdout.write(json.dumps([one.model, one.phase, one.because.code, running]) + "\n")
        sys.stdout.flush()

    def ask(model: str) -> None:
        slot = updater.slot(model)
        while not told_to_end.is_set():
            with slot.lease() as loaded:
                if loaded is not None:
                    if loaded.manifest.artifact.digest == digest:
                        # Not while it is proved: it is in answering that it ends the process.
                        armed.set()
                    loaded.session.run({"image": images(1)})
            time.sleep(0.01)

    def listen() -> None:
        for line in sys.stdin.buffer:
            updater.receive(line)
        told_to_end.set()

    updater.on_change = tell
    tell()
    stop, told_to_end = threading.Event(), threading.Event()
    threading.Thread(target=updater.run, args=(stop,), daemon=True).start()
    asking = [threading.Thread(target=ask, args=(model,), daemon=True) for model in ("digits", "noise")]
    for one in (*asking, threading.Thread(target=listen, daemon=True)):
        one.start()
    while (because := updater.unwell()) is None:
        if told_to_end.wait(0.05):
            for one in asking:
                one.join()
            os._exit(0)
    sys.stdout.write(json.dumps(["agent", "ends", because.code, None]) + "\n")
    sys.stdout.flush()
    os._exit(1)


if __name__ == "__main__":
    main()

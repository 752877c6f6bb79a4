"""A program of ours as a child process: it logs into a file, and never outlives whoever started it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet_client.errors import ClientError

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec there must be no import.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ChildFailed(ClientError):
    """A child process ended that should not have, or failed. `log` is its whole log, `tail` its end."""

    code = "child-failed"

    def __init__(self, what: str, log: Path, tail: str) -> None:
        super().__init__(what, f"Its log is {log}.")
        self.log, self.tail = log, tail


class Child:
    """One process, `name` for people, started at once with `environment` beside the caller's. Stop it, or it is told to
    when this process ends."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.command, self.log = name, list(command), log
        log.parent.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()

        def bind() -> None:
            # Killed or not, the parent's end is the child's: nothing is left running behind a closed terminal.
            if _libc is not None:
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() != parent:
                    os._exit(1)

        with log.open("ab") as file:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # What the caller set for a hub or agent of their own is not for this one.
                env={key: value for key, value in os.environ.items() if not key.startswith("VEDETTE_")}
                | dict(environment or {}),
                # Ctrl-C in a terminal goes to the whole group; the demo stops its children in its own order.
                start_new_session=True,
                preexec_fn=bind,  # noqa: PLW1509 - it only makes two system calls
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs; minus the signal that ended it."""
        return self._process.poll()

    def finish(self, seconds: float) -> None:
        """Waits until it has ended well. Raises `ChildFailed` when it failed or takes longer."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise ChildFailed(f"{self.name} did not end within {seconds:g} s.", self.log, self.tail()) from None
        if self._process.returncode != 0:
            raise self.failed()

    def failed(self) -> ChildFailed:
        """What to raise when it has ended and should not have."""
        return ChildFailed(f"{self.name} ended with code {self._process.returncode}.", self.log, self.tail())

    def again(self) -> "Child":
        """The same program started anew; its log goes on."""
        return Child(self.name, self.command, self.log)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to it and to its own children; nothing when it has ended."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def terminate(self) -> None:
        """Asks it to stop, and leaves its own children to it."""
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self, seconds: float = 10.0) -> None:
        """Asks it to stop, and kills its group when it has not within `seconds`."""
        self.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait()

    def kill(self) -> None:
        """Ends it as a power cut would: no farewell."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])


def stop_all(children: Sequence[Child], seconds: float = 8.0) -> None:
    """Asks all to stop at once, and kills those that have not after `seconds`."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + seconds
    for child in children:
        child.stop(max(0.1, deadline - time.monotonic()))

"""The state folder: all that the agent keeps, held by one agent at a time."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from edge_agent.errors import StateLocked, StateUnusable


class StateFolder:
    """The paths in a state folder, and the lock on it. Only its owner may look inside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = path / "identity.json"
        self.device_key = path / "device.key"
        self.spool = path / "spool"
        self.captures = path / "captures"
        self.models = path / "models"
        """The updater's own folder."""
        self.journals = self.models / "journals"
        self.artifacts = self.models / "artifacts"
        self._lock: int | None = None

    def create(self) -> None:
        """Makes the folder where it is missing. Raises `StateUnusable`."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateUnusable(
                f"Cannot make the state folder {self.path}: {error.strerror}.",
                "Name another with --state DIR, or state_dir in the config; or run as a user who may write there.",
            ) from error

    def lock(self, runtime: Path | None = None) -> None:
        """Takes the folder for this process, until it ends, and notes its `runtime` folder for those who want to reach
        it. Raises `StateLocked` or `StateUnusable`."""
        self.create()
        try:
            descriptor = self._open_lock()
        except OSError as error:
            raise StateUnusable(
                f"Cannot write to the state folder {self.path}: {error.strerror}.",
                "Run as the user who owns it.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder, _ = _noted(descriptor)
            os.close(descriptor)
            raise StateLocked(
                f"Another agent{f' (process {holder})' if holder else ''} runs on {self.path}.",
                "Stop it first, or give this one a state folder of its own.",
            ) from error
        # Only to name the holder to others: a full disk must not keep a device from inferring. What is left of a longer
        # note of before comes after the two lines, and nobody reads it.
        with contextlib.suppress(OSError):
            os.pwrite(descriptor, os.fsencode(f"{os.getpid()}\n{(runtime or self.path).absolute()}\n"), 0)
        self._lock = descriptor

    def _open_lock(self) -> int:
        path = self.path / "lock"
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            # As after errors of a flash that is worn out: what is on it can still run.
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def unlock(self) -> None:
        """Gives the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def locked(self) -> bool:
        """Whether an agent, of any process, holds the folder."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def runtime(self) -> Path | None:
        """The runtime folder of the agent that holds this one, or None when that is not noted, or damaged."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            _, runtime = _noted(descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return Path(runtime) if runtime else None


def _noted(descriptor: int) -> tuple[str, str]:
    """The process that holds a folder, and its runtime folder; "" of what is not noted, or damaged since."""
    process, _, rest = os.fsdecode(os.pread(descriptor, 8192, 0)).partition("\n")
    runtime = rest.partition("\n")[0]
    # People read them: what cannot be printed would end who tells them.
    return process if process.isdecimal() else "", runtime if runtime.startswith("/") and runtime.isprintable() else ""

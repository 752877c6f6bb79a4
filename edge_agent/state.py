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

    def lock(self) -> None:
        """Takes the folder for this process, until it ends. Raises `StateLocked` or `StateUnusable`."""
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
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise StateLocked(
                f"Another agent{f' (process {holder})' if holder else ''} runs on {self.path}.",
                "Stop it first, or give this one a state folder of its own.",
            ) from error
        # Only to name the holder to the next: a full disk must not keep a device from inferring.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
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

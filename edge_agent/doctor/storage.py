"""Looks at where the agent keeps its state: room, rights, owners."""

import contextlib
import os
import pwd
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from edge_agent.doctor.finding import Finding, ok, unknown, warning, wrong
from edge_agent.state import StateFolder
from edge_agent.store.artifacts import RESERVE_BYTES

#: A model, the one before it, and the next, when no quota says how large they may be.
_MODELS_BYTES = 256 * 1024 * 1024
_LEAST_FILES = 1_000
#: File systems that forget.
_FORGETFUL = ("tmpfs", "ramfs")
#: How many of a kind are named; a folder may hold thousands.
_NAMED = 3


def storage(
    state: StateFolder,
    spool_max_bytes: int,
    artifacts_max_bytes: int = 0,
    captures_max_bytes: int = 0,
    mounts: Path = Path("/proc/self/mounts"),
) -> Iterator[Finding]:
    """The state folder, with what telemetry, models and captures may come to take of it; 0 for models: no bound."""
    try:
        status = state.path.stat()
    except FileNotFoundError:
        yield wrong(
            "state",
            f"There is no {state.path}.",
            "`vedette-agent join TOKEN` makes it; or set state_dir in the config to where the device has joined.",
        )
        return
    except OSError as error:
        yield unknown("state", f"{state.path} cannot be looked at: {error.strerror}.", "Run as root or as its owner.")
        return
    yield from _rights(state, status)
    shares = (
        (state.spool, spool_max_bytes),
        (state.artifacts, artifacts_max_bytes or _MODELS_BYTES),
        (state.captures, captures_max_bytes),
    )
    yield from _room(state.path, sum(max(0, most - _taken(folder)) for folder, most in shares), mounts)


def _rights(state: StateFolder, status: os.stat_result) -> Iterator[Finding]:
    owner = _name(status.st_uid)
    if status.st_mode & 0o077:
        yield wrong(
            "state",
            f"{state.path} may be entered by others than {owner} (mode {stat.S_IMODE(status.st_mode):o}).",
            f"chmod 700 {state.path}",
        )
    strange: list[Path] = []
    open_keys: list[Path] = []
    locked: list[Path] = []
    try:
        for folder, _, names in os.walk(state.path, onerror=_raise):
            for path in (Path(folder), *(Path(folder, name) for name in names)):
                try:
                    mine = path.lstat()
                except FileNotFoundError:
                    # A running agent writes, and lets go.
                    continue
                if mine.st_uid != status.st_uid:
                    strange.append(path)
                if path.suffix == ".key" and mine.st_mode & 0o077:
                    open_keys.append(path)
                needed = stat.S_IRWXU if stat.S_ISDIR(mine.st_mode) else stat.S_IRUSR | stat.S_IWUSR
                if mine.st_mode & needed != needed:
                    locked.append(path)
    except OSError as error:
        yield unknown(
            "state", f"{error.filename} cannot be looked at: {error.strerror}.", f"Run as root or as {owner}."
        )
        return
    if strange:
        yield wrong(
            "state",
            f"{_some(strange)} in {state.path} do not belong to {owner}, whom the folder belongs to: "
            "somebody has run the agent as another user.",
            f"chown -R {owner}: {state.path}",
        )
    if locked:
        yield wrong(
            "state",
            f"{owner} may not read and write {_some(locked)} in {state.path}: the agent can keep nothing there.",
            f"chmod -R u+rwX {state.path}",
        )
    for key in open_keys:
        yield wrong("state", f"The key {key} may be read by others than {owner}.", f"chmod 600 {key}")
    if not strange and not open_keys and not locked and not status.st_mode & 0o077:
        holder = "an agent runs on it" if state.locked() else "no agent runs on it now"
        yield ok("state", f"{state.path} belongs to {owner}, and to nobody else; {holder}.")


def _room(folder: Path, wanted_bytes: int, mounts: Path) -> Iterator[Finding]:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    kind = _file_system(folder, mounts)
    if disk.f_flag & os.ST_RDONLY:
        yield wrong(
            "disk",
            f"The file system of {folder} is mounted read-only, as Linux does after errors.",
            "Look into `dmesg`, check the medium, mount it again.",
        )
    elif disk.f_files and disk.f_favail < _LEAST_FILES:
        yield wrong("disk", f"Only {disk.f_favail} more files fit on the disk of {folder}.", "Delete small files.")
    elif free < RESERVE_BYTES:
        yield wrong(
            "disk",
            f"{_size(free)} are free on the disk of {folder}: below {_size(RESERVE_BYTES)} no update is begun, and "
            "telemetry is dropped when nothing is free.",
            "Make room; `journalctl --vacuum-size=50M` is often the quickest.",
        )
    elif free < wanted_bytes:
        yield warning(
            "disk",
            f"{_size(free)} are free on the disk of {folder}, and the agent may use {_size(wanted_bytes)} more.",
            "Make room, or lower the quotas in the config.",
        )
    else:
        yield ok(
            "disk", f"{_size(free)} are free on the disk of {folder}; the agent may use {_size(wanted_bytes)} more."
        )
    if kind in _FORGETFUL:
        yield warning(
            "disk",
            f"{folder} is on a {kind}: identity, models and telemetry are gone after a restart of the device.",
            "Name a folder on a disk in state_dir.",
        )


def _taken(folder: Path) -> int:
    """The bytes of the files in `folder`; 0 for what is not there, or goes while one looks."""
    taken = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                taken += Path(place, name).lstat().st_size
    return taken


#: How spaces and the like are written in a list of mounts.
_OCTAL = re.compile(r"\\([0-7]{3})")


def _file_system(folder: Path, mounts: Path) -> str:
    """The type of the file system that `folder` is on; empty when it cannot be told."""
    best, kind = Path(), ""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, place, found, *_ = line.split(" ")
        point = Path(_OCTAL.sub(lambda number: chr(int(number[1], 8)), place))
        if folder.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, found
    return kind


def _raise(error: OSError) -> None:
    raise error


def _some(paths: list[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_NAMED])
    return names if len(paths) <= _NAMED else f"{names} and {len(paths) - _NAMED} more"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _size(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / 1024**2:.0f} MiB"

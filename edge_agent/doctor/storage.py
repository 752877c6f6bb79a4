"""Looks at where the agent keeps its state: room, rights, owners."""

import os
import pwd
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from edge_agent.doctor.finding import Finding, ok, unknown, warning, wrong
from edge_agent.state import StateFolder

#: Below this an update of a small model does not fit beside the one that runs.
_LEAST_BYTES = 64 * 1024 * 1024
_LEAST_FILES = 1_000
#: File systems that forget.
_FORGETFUL = ("tmpfs", "ramfs")
#: How many of a kind are named; a folder may hold thousands.
_NAMED = 3


def storage(state: StateFolder, wanted_bytes: int, mounts: Path = Path("/proc/self/mounts")) -> Iterator[Finding]:
    """The state folder, in which the agent may come to use `wanted_bytes` more."""
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
    yield from _room(state.path, wanted_bytes, mounts)


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
    try:
        for folder, _, names in os.walk(state.path, onerror=_raise):
            for path in (Path(folder), *(Path(folder, name) for name in names)):
                mine = path.lstat()
                if mine.st_uid != status.st_uid:
                    strange.append(path)
                if path.suffix == ".key" and mine.st_mode & 0o077:
                    open_keys.append(path)
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
    for key in open_keys:
        yield wrong("state", f"The key {key} may be read by others than {owner}.", f"chmod 600 {key}")
    if not strange and not open_keys and not status.st_mode & 0o077:
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
    elif free < _LEAST_BYTES:
        yield wrong(
            "disk",
            f"{_size(free)} are free on the disk of {folder}: no update fits, and telemetry will be dropped.",
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

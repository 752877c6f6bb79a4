"""Puts aside what of the spool cannot be read any more, a lane's folder or a file in it: for people, not for the hub.

What was put aside before makes room, or a disk that breaks again and again is filled by it, which no quota sees.
"""

import contextlib
import errno
import shutil
from pathlib import Path

from edge_agent.durable import sync_folder

#: As many as a spool of any size has room for.
MOST_FILES = 16
#: What the file system says of a folder that will not be read again, whatever one waits for.
_BROKEN = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENOTDIR, errno.EEXIST})


def is_broken(error: OSError) -> bool:
    """Whether waiting does not help."""
    return error.errno in _BROKEN


def put_aside(folder: Path) -> Path:
    """Where `folder`, or the file in its place, is from now on. Raises OSError when it cannot be moved. One is kept."""
    aside = folder.with_suffix(".unreadable")
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)
    folder.replace(aside)
    return aside


def put_file_aside(path: Path) -> Path:
    """Where the file is from now on, in its folder. Raises OSError when it cannot be moved. The newest are kept."""
    aside = path.with_name(path.name + ".unreadable")
    for older in sorted(path.parent.glob("*.unreadable"))[: 1 - MOST_FILES]:
        older.unlink()
    path.replace(aside)
    # After a power cut it waits once more, where this failed: here and now it is gone.
    with contextlib.suppress(OSError):
        sync_folder(path.parent)
    return aside

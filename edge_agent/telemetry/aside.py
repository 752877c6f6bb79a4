"""Puts aside what of the spool cannot be read any more, a lane's folder or a file in it: for people, not for the hub.

What was put aside before makes room, or a disk that breaks again and again is filled by it, which no quota sees.
"""

import contextlib
import errno
import math
import shutil
from pathlib import Path

from edge_agent.durable import sync_folder

#: As many as a spool of any size has room for.
MOST_FILES = 16
#: For a folder that a disk does not give. What comes meanwhile is lost, and what is in it once it is put aside.
PATIENCE_SECONDS = 600.0
_ILL = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG})
#: Something else is in its place.
_MISPLACED = frozenset({errno.ENOTDIR, errno.EEXIST})


def patience_seconds(error: OSError) -> float:
    """How long it may help to wait until a folder can be read."""
    if error.errno in _MISPLACED:
        return 0.0
    return PATIENCE_SECONDS if error.errno in _ILL else math.inf


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

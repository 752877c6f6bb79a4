"""Puts a lane of the spool aside whose folder cannot be read any more: for people to look at, not for the hub."""

import errno
import shutil
from pathlib import Path

#: What the file system says of a folder that will not be read again, whatever one waits for.
_BROKEN = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENOTDIR, errno.EEXIST})


def is_broken(error: OSError) -> bool:
    """Whether waiting does not help."""
    return error.errno in _BROKEN


def put_aside(folder: Path) -> Path:
    """Where `folder`, or the file in its place, is from now on. Raises OSError when it cannot be moved.

    One is kept: what was put aside before makes room, or a disk that breaks again and again is filled by it, which no
    quota sees.
    """
    aside = folder.with_suffix(".unreadable")
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)
    folder.replace(aside)
    return aside

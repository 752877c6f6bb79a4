"""Opens the places where applications find the agent: a Unix socket, and a port on loopback."""

import errno
import os
import socket
import stat
from pathlib import Path

from edge_agent.errors import AgentError

#: The user and group that own the socket may ask. What lets others in is the folder it is in.
_MODE = 0o660
#: More than have connections: while the agent starts nobody is accepted, and whoever finds no room is not told when to
#: come again. On a port they try again after a second; a socket with a timeout gets EAGAIN for a path.
_BACKLOG = 1024


class PlaceTaken(AgentError):
    """The socket or port cannot be opened. It is tried again."""

    code = "serving-place-taken"


def unix(path: Path) -> socket.socket:
    """Listens at `path`. What a killed agent left there is replaced. Raises `PlaceTaken`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    folder = -1
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        _make_room(folder, path)
        # Through the folder's descriptor, for a socket's own path has 107 characters at most. Under another name until
        # it listens: nobody finds a socket that refuses.
        passing = f"{path.name}.{os.getpid()}"
        if _kind(folder, passing) is not None:
            os.unlink(passing, dir_fd=folder)
        listener.bind(f"/proc/self/fd/{folder}/{passing}")
        os.chmod(passing, _MODE, dir_fd=folder)
        listener.listen(_BACKLOG)
        os.rename(passing, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        listener.close()
        raise PlaceTaken(
            f"Cannot serve at {path}: {error.strerror or error}.", "Name another with serving.socket in the config."
        ) from error
    except PlaceTaken:
        listener.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)
    return listener


def _kind(folder: int, name: str) -> int | None:
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None


def _make_room(folder: int, path: Path) -> None:
    kind = _kind(folder, path.name)
    if kind is None:
        return
    if kind != stat.S_IFSOCK:
        raise PlaceTaken(f"Cannot serve at {path}: something else is there.", "Remove it, or name another place.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        failed = probe.connect_ex(f"/proc/self/fd/{folder}/{path.name}")
    if failed not in (errno.ECONNREFUSED, errno.ENOENT):
        raise PlaceTaken(f"Cannot serve at {path}: another process does.", "Stop it, or name another place.")


def tcp(port: int) -> socket.socket:
    """Listens on `port` of loopback. Raises `PlaceTaken`."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What is accepted inherits it: an answer must not wait for the next.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PlaceTaken(
            f"Cannot serve on port {port}: {error.strerror}.", "Name another with serving.tcp_port in the config."
        ) from error
    return listener

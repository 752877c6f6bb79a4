"""TCP ports: which one to listen on, and what to say when it is taken."""

import errno
import socket
from secrets import SystemRandom

from cloud_hub.errors import CannotStart

#: Below those that systems give to outgoing connections (Linux: from 32768 on), which could be gone again before the
#: program that it is chosen for listens there.
_LASTING = range(20_000, 32_768)
_TRIED = 20


def listen(host: str, port: int, flag: str, *, remembered: int | None = None) -> socket.socket:
    """A listening socket on `port`. For port 0: on the `remembered` one if that is free, else on any.

    Raises `CannotStart` ("port-taken", "address-wrong"); `flag` is how to choose another.
    """
    if port == 0 and remembered:
        try:
            return _bound(host, remembered)
        except OSError:
            return _bound(host, 0)
    try:
        return _bound(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise taken("HTTP", host, port, flag) from error
        raise CannotStart(
            f"The hub cannot listen on {host}:{port}: {error.strerror or error}.",
            f"Choose another address with --host, or another port with {flag}.",
            code="address-wrong",
        ) from error


def free_port(host: str, port: int, *, remembered: int | None = None) -> int:
    """`port`, or for 0 the `remembered` one if it is free, else any: for a program that listens there later."""
    if port:
        return port
    candidates: list[int] = SystemRandom().sample(_LASTING, _TRIED)
    for candidate in [remembered, *candidates] if remembered else candidates:
        try:
            with _bound(host, candidate):
                return candidate
        except OSError:
            continue
    with _bound(host, 0) as found:
        return int(found.getsockname()[1])


def is_taken(host: str, port: int) -> bool:
    """Whether somebody answers on `port`."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def taken(what: str, host: str, port: int, flag: str) -> CannotStart:
    return CannotStart(
        f"{what} port {port} of {host} is taken by another program.",
        f"Stop that program, choose another port with {flag}, or let the hub find a free one with {flag} 0.",
        code="port-taken",
    )


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        # At once: of two that only bind, the second to listen would fail, and late.
        found.listen(2048)
    except OSError:
        found.close()
        raise
    return found

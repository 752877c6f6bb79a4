"""Looks at how far the device gets: to its hub over HTTP, to its broker over TCP, TLS and MQTT 5."""

import contextlib
import os
import socket
import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import urllib3

from edge_agent.distrust import distrust
from edge_agent.doctor.finding import Finding, ok, unknown, warning, wrong
from edge_agent.doctor.trust import JOIN_AGAIN
from edge_agent.errors import StateUnusable
from edge_agent.state import StateFolder
from fleet_contract.join import Identity

_TIMEOUT_SECONDS = 5.0
_OFFLINE = "Until then the agent goes on with what it has."
#: MQTT 5, 2.2.2.2 and 3.2.2.2, as far as a device may meet them.
_REASONS = {
    0x84: "it does not speak MQTT 5",
    0x85: "it does not take this client id",
    0x86: "it does not take this user or password",
    0x87: "this device is not allowed in",
    0x88: "it is not available now",
    0x89: "it is busy",
    0x8A: "this device is banned",
}


@dataclass(frozen=True, slots=True)
class HubSeen:
    """The finding, and the hub's clock if it showed that."""

    finding: Finding
    clock: datetime | None = None


def hub(who: Identity) -> HubSeen:
    """The hub that the device has joined."""
    from edge_agent.transport.tls import artifacts_context

    url = who.hub.rstrip("/") + "/healthz"
    try:
        answer = _asked(url, artifacts_context(who))
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if (doubt := _doubt(error)) is not None:
            why, remedy = doubt
            says = f"The certificate of {who.hub} is not to be trusted: {why}."
            return HubSeen(wrong("hub", says, remedy or "Ask who runs the hub."), _clock_of_anybody(url))
        remedy = f"Start the hub, or mend the network or the name between. {_OFFLINE}"
        return HubSeen(wrong("hub", f"No answer from {who.hub}: {error}.", remedy))
    if answer.status != 200:
        remedy = "Look at the hub's log, or at the proxy in front of it."
        says = f"{who.hub} answers {answer.status}, and not as a Vedette hub does."
        return HubSeen(warning("hub", says, remedy), _clock(answer))
    return HubSeen(ok("hub", f"{who.hub} answers."), _clock(answer))


def _asked(url: str, context: ssl.SSLContext) -> urllib3.BaseHTTPResponse:
    timeout = urllib3.Timeout(connect=_TIMEOUT_SECONDS, read=_TIMEOUT_SECONDS)
    with urllib3.PoolManager(retries=False, timeout=timeout, ssl_context=context) as pool:
        return pool.request("GET", url)


def _clock_of_anybody(url: str) -> datetime | None:
    """What the clock of the server says, whoever it is: to a device whose clock is wrong, nobody's certificate is
    right."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings(), contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        return _clock(_asked(url, context))
    return None


def _clock(answer: urllib3.BaseHTTPResponse) -> datetime | None:
    try:
        clock = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    # A zone that is written as unknown is UTC all the same (RFC 9110, 5.6.7).
    return clock if clock.tzinfo is not None else clock.replace(tzinfo=UTC)


def _doubt(error: BaseException) -> tuple[str, str] | None:
    """Why a server is not to be trusted, and what to do, where that is what `error` is about; urllib3 wraps it."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    return distrust(inner)


def broker(who: Identity, state: StateFolder) -> Iterator[Finding]:
    """The broker: how far the way there goes, and whether it takes this device."""
    where = f"{who.broker.host}:{who.broker.port}"
    mend = f"Mend the network, the firewall or the name. {_OFFLINE}"
    try:
        connection = socket.create_connection((who.broker.host, who.broker.port), _TIMEOUT_SECONDS)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        yield wrong("broker", f"The name {who.broker.host} leads nowhere: {why}.", mend)
        return
    except OSError as error:
        yield wrong("broker", f"Nothing listens on {where}, or nothing gets there: {error}.", mend)
        return
    try:
        if who.broker.tls:
            connection = _over_tls(connection, who, state)
    except StateUnusable as error:
        connection.close()
        if isinstance(error.__cause__, PermissionError):
            yield unknown("broker", error.what, "Run as root or as the agent's user.")
        else:
            yield wrong("broker", error.what, error.remedy)
        return
    except ssl.SSLCertVerificationError as error:
        connection.close()
        why, remedy = distrust(error) or (str(error), "")
        yield wrong(
            "broker", f"The certificate of {where} is not to be trusted: {why}.", remedy or "Ask who runs the broker."
        )
        return
    except OSError as error:
        connection.close()
        yield wrong("broker", f"{where} does not take the device over TLS: {error}.", "See what the broker's log says.")
        return
    with connection:
        yield _greeted(connection, who, where, running=state.locked())


def _over_tls(connection: socket.socket, who: Identity, state: StateFolder) -> socket.socket:
    from edge_agent.transport.tls import presenting

    # Not from where the agent keeps it: it may not be there yet, and nothing is written.
    with os.fdopen(os.memfd_create("certificate"), "wb") as certificate:
        certificate.write(who.certificate.encode())
        certificate.flush()
        context = presenting(who, Path(f"/proc/self/fd/{certificate.fileno()}"), state.device_key)
    return context.wrap_socket(connection, server_hostname=who.broker.host)


def _greeted(connection: socket.socket, who: Identity, where: str, *, running: bool) -> Finding:
    if running:
        # A second connection under its name would end the agent's own.
        return ok("broker", f"{where} is there; whether it takes this device, the running agent's log says.")
    try:
        connection.sendall(_connect(who.device))
        answer = connection.recv(256)
    except ssl.SSLError as error:
        # With TLS 1.3 a client is done before its certificate was looked at.
        return _unwelcome(where, error.reason or str(error))
    except OSError as error:
        if who.broker.tls:
            return _unwelcome(where, str(error))
        return wrong("broker", f"{where} is there and does not speak MQTT: {error}.", "See that the port is right.")
    if who.broker.tls and not answer:
        return _unwelcome(where, "it hangs up")
    # CONNACK: its kind, the length of the rest, flags, reason.
    if len(answer) < 4 or answer[0] != 0x20:
        return wrong("broker", f"{where} is there and does not speak MQTT 5.", "See that the port is right.")
    reason = answer[3]
    if reason:
        why = _REASONS.get(reason, f"reason {reason:#x}")
        return wrong("broker", f"{where} refuses the device: {why}.", "See what the broker's log says, or join again.")
    return ok("broker", f"{where} takes the device.")


def _unwelcome(where: str, why: str) -> Finding:
    remedy = f"See what the broker's log says. {JOIN_AGAIN}"
    return wrong("broker", f"{where} does not take the device's certificate: {why}.", remedy)


def _connect(client_id: str) -> bytes:
    """MQTT 5's CONNECT: a clean start, a keep-alive of 30 s, no properties, no will, no password."""
    name = client_id.encode()
    body = b"\x00\x04MQTT\x05\x02\x00\x1e\x00" + len(name).to_bytes(2, "big") + name
    high, low = divmod(len(body), 128)
    return b"\x10" + (bytes((low | 0x80, high)) if high else bytes((low,))) + body

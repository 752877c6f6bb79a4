"""With TLS the device shows its own certificate, and trusts its fleet's authority and nobody else."""

import errno
import queue
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.errors import StateUnusable
from edge_agent.join import _certificate_request, device_key
from edge_agent.state import StateFolder
from edge_agent.transport import backoff, tls
from edge_agent.transport.paho import PahoTransport
from fleet_contract.because import Because
from fleet_contract.join import Broker, Identity
from fleet_contract.topics import Address, Channel
from provisioning.pki import Authority, Request
from tests.fakes.certificates import server_context
from tests.fakes.rumqttd import free_port, rumqttd

NOW = datetime.now(UTC)


class Heard:
    def __init__(self) -> None:
        self.connections: queue.Queue[None] = queue.Queue()
        self.ends: queue.Queue[Because] = queue.Queue()

    def connected(self) -> None:
        self.connections.put(None)

    def disconnected(self, because: Because) -> None:
        self.ends.put(because)

    def received(self, channel: Channel, payload: bytes) -> None:
        raise AssertionError("nobody sends")


def joined(folder: Path, authority: Authority, trusts: Authority) -> tuple[Identity, StateFolder]:
    state = StateFolder(folder)
    state.create()
    request = _certificate_request(device_key(state))
    certificate = authority.sign_device(Request(request), "press-1", NOW)
    broker = Broker("127.0.0.1", 1, tls=True)
    return Identity("default", "press-1", "", broker, (), (), certificate, trusts.certificate, "cpu-vnni", NOW), state


def hang_up(peer: ssl.SSLSocket, how: str) -> None:
    with suppress(OSError), peer:
        match how:
            case "with a farewell":
                peer.settimeout(0.1)
                peer.unwrap()
            case "without a word":
                pass
            case "with a reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def tls_in_front_of(
    port: int, context: ssl.SSLContext, hanging_up: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Ends TLS for a broker that knows none, and first hangs up on so many as soon as TLS is up; gives the port, and
    the names of those that were let in."""
    names: list[str] = []
    ways = list(hanging_up)
    threads: list[threading.Thread] = []

    def pipe(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                peer = context.wrap_socket(raw, server_side=True)
            except OSError:
                raw.close()
                continue
            if ways:
                hang_up(peer, ways.pop(0))
                continue
            names.append(dict(part[0] for part in peer.getpeercert()["subject"])["commonName"])
            behind = socket.create_connection(("127.0.0.1", port))
            for ends in ((peer, behind), (behind, peer)):
                threads.append(threading.Thread(target=pipe, args=ends))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=serve)
        acceptor.start()
        yield listener.getsockname()[1], names
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
    for thread in threads:
        thread.join(60)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make("default")


def test_a_device_is_let_in_by_its_own_certificate(tmp_path, authority):
    who, state = joined(tmp_path / "state", authority, authority)
    port = free_port()
    with rumqttd(tmp_path, port), tls_in_front_of(port, server_context(tmp_path, authority, NOW)) as (front, names):
        heard = Heard()
        transport = PahoTransport(
            Address("default", "press-1"), Broker("127.0.0.1", front, tls=True), lambda: tls.context(who, state)
        )
        transport.start(heard, lambda: b"lost")
        heard.connections.get(timeout=90)
        assert transport.send(Channel.REPORT, b"hello")
        transport.close(b"bye", 5)
    # On a busy machine the first try may be given up; whoever comes, comes by this name.
    assert set(names) == {"press-1"}


@pytest.mark.parametrize("how", ["with a farewell", "without a word", "with a reset"])
def test_a_broker_that_hangs_up_right_after_tls_is_said_to_be_lost_and_tried_until_it_stays(
    tmp_path, authority, monkeypatch, how
):
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.05)
    who, state = joined(tmp_path / "state", authority, authority)
    port, context = free_port(), server_context(tmp_path, authority, NOW)
    with rumqttd(tmp_path, port), tls_in_front_of(port, context, [how] * 3) as (front, names):
        heard = Heard()
        transport = PahoTransport(
            Address("default", "press-1"), Broker("127.0.0.1", front, tls=True), lambda: tls.context(who, state)
        )
        transport.start(heard, lambda: b"lost")
        ends = [heard.ends.get(timeout=90) for _ in range(3)]
        assert {one.code for one in ends} == {"broker-lost"}
        for one in ends:
            assert f"The connection to the broker 127.0.0.1:{front} ended before it was taken" in one.sentence
            assert "may not take this device's certificate" in one.sentence
        heard.connections.get(timeout=90)
        assert transport.send(Channel.REPORT, b"hello")
        transport.close(b"bye", 5)
    assert set(names) == {"press-1"}


@pytest.mark.parametrize("how", ["with a farewell", "without a word", "with a reset"])
def test_to_stop_waits_for_no_broker_that_hangs_up(tmp_path, authority, how):
    who, state = joined(tmp_path / "state", authority, authority)
    context = server_context(tmp_path, authority, NOW)
    with tls_in_front_of(1, context, [how] * 100) as (front, _):
        heard = Heard()
        transport = PahoTransport(
            Address("default", "press-1"), Broker("127.0.0.1", front, tls=True), lambda: tls.context(who, state)
        )
        transport.start(heard, lambda: b"lost")
        heard.ends.get(timeout=90)
        assert not transport.send(Channel.REPORT, b"hello"), "nobody was there to take it"
        began = time.monotonic()
        transport.close(b"bye", 60)
        assert time.monotonic() - began < 30
    assert heard.connections.empty()


@pytest.mark.parametrize("stranger", ["device", "broker"])
def test_nobody_speaks_with_a_stranger(tmp_path, authority, stranger):
    other = Authority.make("other")
    signs, trusts = (other, authority) if stranger == "device" else (authority, other)
    who, state = joined(tmp_path / "state", signs, trusts)
    with tls_in_front_of(1, server_context(tmp_path, authority, NOW)) as (front, names):
        heard = Heard()
        transport = PahoTransport(
            Address("default", "press-1"), Broker("127.0.0.1", front, tls=True), lambda: tls.context(who, state)
        )
        transport.start(heard, lambda: b"lost")
        codes = {"device": ("broker-unreachable", "broker-lost"), "broker": ("broker-untrusted",)}
        assert heard.ends.get(timeout=90).code in codes[stranger]
        assert heard.connections.empty()
        transport.close(b"bye", 5)
    assert names == []


@pytest.mark.parametrize("years", [-40, 40])
def test_a_clock_that_is_decades_off_is_named_where_it_makes_a_certificate_invalid(tmp_path, authority, years):
    # The broker's certificate is of another time, which is what a device with a wrong clock sees.
    then = NOW + timedelta(days=365 * years)
    who, state = joined(tmp_path / "state", authority, authority)
    with tls_in_front_of(1, server_context(tmp_path, authority, then)) as (front, _):
        heard = Heard()
        transport = PahoTransport(
            Address("default", "press-1"), Broker("127.0.0.1", front, tls=True), lambda: tls.context(who, state)
        )
        transport.start(heard, lambda: b"lost")
        because = heard.ends.get(timeout=90)
        transport.close(b"bye", 5)
    assert because.code == "broker-untrusted"
    assert "clock" in because.sentence


def test_a_certificate_that_does_not_fit_the_key_says_to_join_again(tmp_path, authority):
    who, _ = joined(tmp_path / "one", authority, authority)
    _, state = joined(tmp_path / "two", authority, authority)
    with pytest.raises(StateUnusable, match="Join again"):
        tls.context(who, state)


def test_a_full_disk_keeps_no_device_that_has_its_certificate_from_connecting(tmp_path, authority, monkeypatch):
    who, state = joined(tmp_path, authority, authority)
    tls.context(who, state)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tls, "write_durably", full)
    tls.context(who, state)

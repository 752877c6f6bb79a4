"""The paho transport against the real rumqttd."""

import gc
import queue
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent.transport import paho
from edge_agent.transport.paho import PahoTransport
from fleet_contract.because import Because
from fleet_contract.encoding import MAX_MESSAGE_BYTES
from fleet_contract.join import Broker
from fleet_contract.topics import Address, Channel, topic, upward
from tests.fakes.rumqttd import free_port, rumqttd

ADDRESS = Address("default", "press-1")


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.connections: queue.Queue[None] = queue.Queue()
        self.ends: queue.Queue[Because] = queue.Queue()
        self.messages: queue.Queue[tuple[Channel, bytes]] = queue.Queue()

    def connected(self) -> None:
        self.connections.put(None)

    def disconnected(self, because: Because) -> None:
        self.ends.put(because)

    def received(self, channel: Channel, payload: bytes) -> None:
        self.messages.put((channel, payload))


class Hub:
    """Another client of the broker, in the hub's place."""

    def __init__(self, port: int) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        ready = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="hub", protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe(upward("default"), qos=1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _client, _data, message: self.heard.put((message.topic, message.payload))
        self.client.connect("127.0.0.1", port, 30)
        self.client.loop_start()
        assert ready.wait(60)

    def say(self, channel: Channel, payload: bytes, *, retain: bool = False, to: Address = ADDRESS) -> None:
        self.client.publish(topic(to, channel), payload, qos=1, retain=retain).wait_for_publish(5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    port = free_port()
    with rumqttd(tmp_path_factory.mktemp("broker"), port):
        yield port


@pytest.fixture
def hub(port):
    hub = Hub(port)
    yield hub
    hub.close()


@pytest.fixture
def start():
    """Starts transports, and ends them."""
    transports: list[PahoTransport] = []

    def started(port: int, last_will: Callable[[], bytes] = lambda: b"lost", tls=None) -> tuple[PahoTransport, Heard]:
        transport, heard = PahoTransport(ADDRESS, Broker("127.0.0.1", port), tls), Heard()
        transports.append(transport)
        transport.start(heard, last_will)
        return transport, heard

    yield started
    for transport in transports:
        transport.close(b"closing", 2)


def test_what_the_device_sends_arrives_on_its_own_topic(port, hub, start):
    transport, heard = start(port)
    heard.connections.get(timeout=90)
    assert transport.send(Channel.REPORT, b"hello")
    assert transport.send(Channel.TELEMETRY, b"\x00" * 100_000)
    assert hub.heard.get(timeout=90) == (topic(ADDRESS, Channel.REPORT), b"hello")
    assert hub.heard.get(timeout=90) == (topic(ADDRESS, Channel.TELEMETRY), b"\x00" * 100_000)


def test_an_order_that_was_retained_before_the_device_came_reaches_it(port, hub, start):
    hub.say(Channel.DESIRED, b"an order", retain=True)
    _, heard = start(port)
    assert heard.messages.get(timeout=90) == (Channel.DESIRED, b"an order")
    hub.say(Channel.DESIRED, b"", retain=True)


def test_acks_reach_the_device_and_messages_for_others_do_not(port, hub, start):
    _, heard = start(port)
    heard.connections.get(timeout=90)
    hub.say(Channel.ACK, b"for another", to=Address("default", "press-2"))
    hub.say(Channel.ACK, b"for us")
    assert heard.messages.get(timeout=90) == (Channel.ACK, b"for us")


def test_closing_says_farewell_and_leaves_no_last_will(port, hub, start):
    transport, heard = start(port)
    heard.connections.get(timeout=90)
    transport.close(b"bye", 5)
    assert hub.heard.get(timeout=90)[1] == b"bye"
    with pytest.raises(queue.Empty):
        hub.heard.get(timeout=0.5)
    assert not transport.send(Channel.REPORT, b"late")


def test_a_device_that_vanishes_is_reported_by_its_last_will_and_each_connection_has_its_own(port, hub, start):
    wills = iter((b"lost 1", b"lost 2"))
    transport, heard = start(port, lambda: next(wills, b"lost later"))
    for will in (b"lost 1", b"lost 2"):
        heard.connections.get(timeout=90)
        # What a cut cable does, seen from both ends.
        transport._connection._client.socket().shutdown(socket.SHUT_RDWR)
        assert hub.heard.get(timeout=90)[1] == will
        assert heard.ends.get(timeout=90).code == "broker-lost"


def test_a_broker_that_is_gone_is_tried_again_until_it_is_back(tmp_path, start):
    port = free_port()
    transport, heard = start(port)
    because = heard.ends.get(timeout=90)
    assert because.code == "broker-unreachable"
    assert str(port) in because.sentence
    assert not transport.send(Channel.REPORT, b"to nobody")
    with rumqttd(tmp_path, port):
        heard.connections.get(timeout=90)
    while (code := heard.ends.get(timeout=90).code) != "broker-lost":
        assert code == "broker-unreachable"
    with rumqttd(tmp_path, port):
        heard.connections.get(timeout=90)
        assert transport.send(Channel.REPORT, b"again")


@contextmanager
def no_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture
def clients(monkeypatch):
    """All that paho has made, as long as they are there."""
    made: weakref.WeakSet[Client] = weakref.WeakSet()

    def noted(*arguments, **options) -> Client:
        client = Client(*arguments, **options)
        made.add(client)
        return client

    monkeypatch.setattr(paho, "Client", noted)
    monkeypatch.setattr(paho.Backoff, "after", lambda *_: 0.0)
    return made


def test_connections_that_have_ended_are_gone_at_once(port, start, clients):
    with no_garbage_collector():
        transport, heard = start(port)
        for _ in range(5):
            heard.connections.get(timeout=90)
            transport._connection._client.socket().shutdown(socket.SHUT_RDWR)
            assert heard.ends.get(timeout=90).code == "broker-lost"
        heard.connections.get(timeout=90)
        assert len(clients) == 1


def test_tries_that_have_failed_leave_nothing_behind(start, clients):
    with no_garbage_collector():
        _, heard = start(free_port())
        for _ in range(20):
            assert heard.ends.get(timeout=90).code == "broker-unreachable"
        # One may be under way.
        assert len(clients) <= 1


def broken() -> ssl.SSLContext:
    raise RuntimeError("a fault of our own")


@pytest.mark.parametrize(("name", "tls"), [("broker..none", None), ("127.0.0.1", broken)])
def test_what_keeps_a_connection_from_being_begun_is_said_and_tried_again_and_silences_nobody(name, tls):
    heard = Heard()
    transport = PahoTransport(ADDRESS, Broker(name, 1), tls)
    transport.start(heard, lambda: b"lost")
    for _ in range(2):
        assert heard.ends.get(timeout=90).code == "broker-unreachable"
    transport.close(b"bye", 1.0)


def test_a_broker_that_accepts_and_says_nothing_is_given_up(monkeypatch, start):
    monkeypatch.setattr(paho, "READY_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _, heard = start(silent.getsockname()[1])
        assert heard.ends.get(timeout=90).code == "broker-silent"


def test_a_broker_that_breaks_the_protocol_does_not_stop_the_trying(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, heard = start(server.getsockname()[1])
        for garbage in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x03\x00\x00\x05", b"\x20\x02\x00"):
            peer, _ = server.accept()
            peer.sendall(garbage)
            time.sleep(0.05)
            peer.close()
            because = heard.ends.get(timeout=90)
            assert because.code == "broker-lost"
            assert "may not speak MQTT 5" in because.sentence


def test_what_the_broker_takes_as_one_message_is_respected(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport, heard = start(server.getsockname()[1])
        assert transport.max_message_bytes == MAX_MESSAGE_BYTES
        peer, _ = server.accept()
        peer.recv(4096)
        # CONNACK with a maximum packet size of 10,000 bytes, then SUBACK for two subscriptions.
        peer.sendall(b"\x20\x08\x00\x00\x05\x27" + (10_000).to_bytes(4, "big"))
        identifier = peer.recv(4096)[2:6]
        identifier = identifier[:2]
        peer.sendall(b"\x90\x05" + identifier + b"\x00\x01\x01")
        heard.connections.get(timeout=90)
        assert 9_000 < transport.max_message_bytes < 10_000
        peer.close()


def test_closing_does_not_wait_for_a_broker_that_does_not_answer(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport, _ = start(silent.getsockname()[1])
        silent.accept()
        began = time.monotonic()
        transport.close(b"bye", 1.0)
        assert time.monotonic() - began < 15

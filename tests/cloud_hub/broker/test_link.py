"""The embedded broker and the link to it, both real."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import psutil
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cloud_hub.broker.embedded import EmbeddedBroker
from cloud_hub.broker.link import Handlers
from cloud_hub.broker.mqtt import BrokerAddress, MessageTooLarge, MqttLink
from cloud_hub.errors import CannotStart
from cloud_hub.ports import free_port, is_taken
from cloud_hub.refusals import Refusals
from fleet_contract.encoding import MAX_MESSAGE_BYTES
from fleet_contract.errors import ContractError
from fleet_contract.topics import Address, Channel, topic
from tests.fakes.clock import StoppedClock
from tests.fakes.waiting import until

DEVICE = Address("default", "gw-1")


class Received:
    """What the link handed over."""

    def __init__(self) -> None:
        self.reports: list[tuple[Address, bytes]] = []
        self.telemetry: list[tuple[Address, bytes]] = []
        self.samples: list[tuple[Address, bytes]] = []
        self.connected = 0

    def handlers(self) -> Handlers:
        return Handlers(
            on_report=self._report,
            on_telemetry=lambda address, payload: self.telemetry.append((address, payload)),
            on_samples=lambda address, payload: self.samples.append((address, payload)),
            on_connected=self._connect,
        )

    def _report(self, address: Address, payload: bytes) -> None:
        if payload == b"crash":
            raise ZeroDivisionError
        if payload == b"refuse":
            raise ContractError("No.", code="refused-here")
        self.reports.append((address, payload))

    def _connect(self) -> None:
        self.connected += 1


class Gateway:
    """A device's side of the broker, by hand."""

    def __init__(self, port: int, device: str = "gw-1") -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._there = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=device, protocol=paho.MQTTv5)
        self._client.on_message = lambda _c, _d, m: self.messages.append((m.topic, m.payload, m.retain))
        self._client.on_connect = lambda *_: self._there.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._there.wait(10)

    def say(self, channel: Channel, payload: bytes, address: Address = DEVICE) -> None:
        self.publish(topic(address, channel), payload)

    def publish(self, where: str, payload: bytes) -> None:
        self._client.publish(where, payload, qos=1).wait_for_publish(10)

    def listen(self, where: str) -> None:
        self._client.subscribe(where, qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path, free_port("127.0.0.1", 0))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def refusals(clock: StoppedClock) -> Refusals:
    return Refusals(clock)


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture
def link(broker: EmbeddedBroker, refusals: Refusals, received: Received) -> Iterator[MqttLink]:
    link = MqttLink(BrokerAddress("127.0.0.1", broker.port), "default", refusals)
    link.start(received.handlers())
    assert link.wait_connected(10)
    yield link
    link.stop()


@pytest.fixture
def gateway(broker: EmbeddedBroker, link: MqttLink) -> Iterator[Gateway]:
    gateway = Gateway(broker.port)
    yield gateway
    gateway.close()


def test_what_devices_say_arrives_with_their_address(gateway: Gateway, received: Received) -> None:
    gateway.say(Channel.REPORT, b"hello")
    gateway.say(Channel.TELEMETRY, b"numbers")
    gateway.say(Channel.SAMPLES, b"what was kept")
    until(lambda: received.reports and received.telemetry and received.samples)
    assert received.reports == [(DEVICE, b"hello")]
    assert received.telemetry == [(DEVICE, b"numbers")]
    assert received.samples == [(DEVICE, b"what was kept")]


def test_a_message_of_the_largest_size_passes_both_ways(link: MqttLink, gateway: Gateway, received: Received) -> None:
    largest = os.urandom(MAX_MESSAGE_BYTES)
    gateway.listen(topic(DEVICE, Channel.DESIRED))
    gateway.say(Channel.TELEMETRY, largest)
    link.publish(DEVICE, Channel.DESIRED, largest)
    until(lambda: received.telemetry and gateway.messages)
    assert received.telemetry[0][1] == largest
    assert gateway.messages[0][1] == largest


def test_a_message_that_is_too_large_is_not_sent(link: MqttLink) -> None:
    with pytest.raises(MessageTooLarge):
        link.publish(DEVICE, Channel.DESIRED, bytes(MAX_MESSAGE_BYTES + 1))


def test_what_is_retained_waits_for_the_device_and_the_newest_wins(
    link: MqttLink, broker: EmbeddedBroker, gateway: Gateway
) -> None:
    for payload in (b"old", b"new"):
        link.publish(DEVICE, Channel.DESIRED, payload, retain=True)
    gateway.listen(topic(DEVICE, Channel.DESIRED))
    until(lambda: (topic(DEVICE, Channel.DESIRED), b"new", True) in gateway.messages or len(gateway.messages) > 1)
    late = Gateway(broker.port, "gw-late")
    late.listen(topic(DEVICE, Channel.DESIRED))
    until(lambda: late.messages)
    assert late.messages == [(topic(DEVICE, Channel.DESIRED), b"new", True)]
    late.close()


def test_bad_messages_are_counted_and_the_next_one_is_taken(
    gateway: Gateway, received: Received, refusals: Refusals
) -> None:
    gateway.publish("v1/default/99/gw-1/up/report", b"a shard of its own choosing")
    gateway.publish("v1/default/0/NOT-AN-ID/up/report", b"")
    gateway.publish(topic(DEVICE, Channel.SAMPLES) + "-of-tomorrow", b"nobody takes these yet")
    gateway.say(Channel.REPORT, b"crash")
    gateway.say(Channel.REPORT, b"refuse")
    gateway.say(Channel.REPORT, b"good")
    until(lambda: received.reports == [(DEVICE, b"good")])
    assert refusals.counts == {
        "topic-wrong": 2,
        "id-wrong": 1,
        "message-unusable": 1,
        "refused-here": 1,
    }


def test_when_the_broker_dies_it_comes_back_and_the_link_with_it(
    broker: EmbeddedBroker, link: MqttLink, received: Received
) -> None:
    first = broker.pid
    os.kill(first, signal.SIGKILL)
    until(lambda: received.connected == 2, 30)
    assert broker.pid != first
    assert (broker.troubles(), link.troubles()) == ([], [])
    gateway = Gateway(broker.port)
    gateway.say(Channel.REPORT, b"after")
    until(lambda: received.reports == [(DEVICE, b"after")])
    gateway.close()


def test_a_broker_that_is_not_there_is_a_trouble_and_then_not(
    tmp_path: Path, refusals: Refusals, received: Received
) -> None:
    port = free_port("127.0.0.1", 0)
    link = MqttLink(BrokerAddress("127.0.0.1", port), "default", refusals)
    link.start(received.handlers())
    assert not link.wait_connected(0.3)
    assert link.troubles()[0].code == "broker-unreachable"
    link.publish(DEVICE, Channel.DESIRED, b"kept until then", retain=True)
    broker = EmbeddedBroker(tmp_path, port)
    broker.start()
    assert link.wait_connected(20)
    gateway = Gateway(port)
    gateway.listen(topic(DEVICE, Channel.DESIRED))
    until(lambda: gateway.messages)
    assert gateway.messages[0][1] == b"kept until then"
    gateway.close()
    link.stop()
    broker.stop()


def test_a_second_hub_on_the_same_broker_takes_over_and_the_first_says_so(
    broker: EmbeddedBroker, link: MqttLink, refusals: Refusals
) -> None:
    second = MqttLink(BrokerAddress("127.0.0.1", broker.port), "default", refusals)
    second.start(Received().handlers())
    until(lambda: link.troubles() or second.troubles())
    second.stop()


def test_a_taken_port_is_named_with_its_flag(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStart) as raised:
            EmbeddedBroker(tmp_path, port).start()
    assert raised.value.code == "port-taken"
    assert str(port) in raised.value.what
    assert "--mqtt-port" in raised.value.remedy


def test_it_listens_on_loopback_only(broker: EmbeddedBroker) -> None:
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(broker.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_it_ends_when_it_is_stopped(broker: EmbeddedBroker) -> None:
    pid = broker.pid
    broker.stop()
    broker.stop()
    assert not psutil.pid_exists(pid)
    assert not is_taken("127.0.0.1", broker.port)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker.example:1884", BrokerAddress("broker.example", 1884)),
        ("mqtt://broker.example", BrokerAddress("broker.example", 1883)),
        ("mqtt://me:p%40ss@[::1]:1", BrokerAddress("::1", 1, "me", "p@ss")),
    ],
)
def test_a_brokers_url_is_read(url: str, address: BrokerAddress) -> None:
    assert BrokerAddress.parse(url) == address


@pytest.mark.parametrize("url", ["", "broker:1883", "http://broker", "mqtt://", "mqtt://host:port", "mqtts://host"])
def test_a_url_that_is_no_brokers_is_refused(url: str) -> None:
    with pytest.raises(CannotStart) as raised:
        BrokerAddress.parse(url)
    assert raised.value.code == "broker-url-wrong"

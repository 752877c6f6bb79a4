"""A topic of a local broker: messages that are acked once they are answered, so that the broker keeps the others."""

import hashlib
import logging
import platform
import threading
from collections import deque
from typing import Any

import msgspec
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.errors import SourceWrong
from edge_agent.sources.message import MessageWrong, Reading, label_of, reading
from edge_agent.sources.settings import Mqtt
from edge_agent.sources.source import GLANCE_SECONDS, Record, Records
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest

_log = logging.getLogger(__name__)
_KEEP_ALIVE_SECONDS = 60
#: How long the broker keeps what comes while no agent runs.
_SESSION_SECONDS = 24 * 3600
#: A header, a topic and properties, beside the payload.
_OVERHEAD_BYTES = 64 * 1024


class _Message(msgspec.Struct, frozen=True):
    payload: bytes
    topic: str
    qos: int
    mid: int
    connection: int
    """Which connection brought it: an ack on another would be for something else."""


class MqttSource:
    """A `Source` of the messages of one topic, which may have wildcards.

    What was sent with QoS 1 comes at least once, also over restarts of agent and broker as far as the broker keeps
    sessions. What was sent with QoS 0 is let go, oldest first, when the model does not keep up.
    """

    def __init__(self, settings: Mqtt) -> None:
        self.model = settings.model
        self.rate_per_second = settings.rate_per_second
        self._settings = settings
        self._subscription: _Subscription | None = None
        self._wrong: Because | None = None

    @property
    def trouble(self) -> Because | None:
        """What is wrong with the broker, or else with the last message."""
        link = self._subscription.trouble if self._subscription is not None else None
        return link or self._wrong

    def records(self, manifest: Manifest) -> Records:
        read = reading(self._settings, manifest)
        if self._subscription is None:
            self._subscription = _Subscription(self._settings)
        return self._feed(read, self._subscription, manifest)

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()

    def _feed(self, read: Reading, subscription: "_Subscription", manifest: Manifest) -> Records:
        while True:
            message = subscription.first(GLANCE_SECONDS)
            if message is None:
                yield None
                continue
            try:
                inputs = read(message.payload)
            except MessageWrong as error:
                self._wrong = Because(error.code, f"A message on {message.topic} is not used: {error.what}")
                # It would be as wrong the next time.
                subscription.dealt_with(message)
                yield None
                continue
            label = label_of(message.payload, manifest) if self._settings.payload == "json" else None
            truth = (label,) if label in manifest.labels else ()
            verdict: list[bool] = []
            yield Record(inputs, verdict.append, truth)
            if verdict:
                subscription.dealt_with(message)
                self._wrong = None
                if label is not None and not truth:
                    said = f"has the label {str(label)[:80]!r}, which {self.model} never gives"
                    self._wrong = Because("labels-unusable", f"A message on {message.topic} {said}.")


class _Subscription:
    """The connection, which mends itself, and the messages that wait. Its callbacks run on paho's thread."""

    def __init__(self, settings: Mqtt) -> None:
        self.trouble: Because | None = Because("source-broker-unreachable", f"Not connected to {_where(settings)} yet.")
        self._settings = settings
        self._changed = threading.Condition()
        self._waiting: deque[_Message] = deque()
        self._connection = 0
        self._let_go = 0
        self._closing = False
        mark = hashlib.sha256(f"{settings.model} {settings.topic}".encode()).hexdigest()[:8]
        self._client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"vedette-{platform.node()}-{mark}",
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        client.username_pw_set(settings.username or None, _password(settings))
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.reconnect_delay_set(1, 30)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's is untyped
        properties.ReceiveMaximum = settings.queue
        properties.MaximumPacketSize = settings.max_bytes + _OVERHEAD_BYTES
        properties.SessionExpiryInterval = _SESSION_SECONDS
        client.connect_async(
            settings.host, settings.port, _KEEP_ALIVE_SECONDS, clean_start=False, properties=properties
        )
        client.loop_start()

    def first(self, timeout_seconds: float) -> _Message | None:
        """The oldest message, which stays the first until it is dealt with."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout_seconds)
            return self._waiting[0] if self._waiting else None

    def dealt_with(self, message: _Message) -> None:
        """`message` need not come again."""
        with self._changed:
            if self._waiting and self._waiting[0] is message:
                self._waiting.popleft()
            current = message.connection == self._connection
            self._changed.notify_all()
        if message.qos and current:
            self._client.ack(message.mid, message.qos)

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: Client, _data: None, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._tell("source-broker-refused", f"The broker {_where(self._settings)} refused the connection: {reason}")
            return
        with self._changed:
            self._connection += 1
            if flags.session_present:
                # The broker knows that we have not acked these, and sends them again.
                self._waiting = deque(one for one in self._waiting if not one.qos)
        client.subscribe(self._settings.topic, qos=1)

    def _on_subscribe(
        self, _client: Client, _data: None, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if refused := [reason for reason in reasons if reason.is_failure]:
            where = _where(self._settings)
            self._tell("source-broker-refused", f"The broker {where} gives no {self._settings.topic}: {refused[0]}")
        else:
            self.trouble = None

    def _on_message(self, _client: Client, _data: None, message: MQTTMessage) -> None:
        with self._changed:
            taken = _Message(bytes(message.payload), message.topic, message.qos, message.mid, self._connection)
            if not taken.qos and len(self._waiting) >= self._settings.queue:
                # The first is being answered.
                oldest = next((one for number, one in enumerate(self._waiting) if number and not one.qos), None)
                self._let_go += 1
                self.trouble = Because(
                    "source-overrun",
                    f"Messages on {self._settings.topic} come faster than {self._settings.model} answers: "
                    f"{self._let_go} with QoS 0 were let go.",
                )
                if oldest is None:
                    return
                self._waiting.remove(oldest)
            # A broker that knows no receive maximum is held back by not reading on.
            self._changed.wait_for(lambda: self._closing or len(self._waiting) < self._settings.queue)
            self._waiting.append(taken)
            self._changed.notify_all()

    def _on_disconnect(
        self, _client: Client, _data: None, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        where = _where(self._settings)
        self._tell("source-broker-unreachable", f"The connection to the broker {where} was lost: {reason}")

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._tell("source-broker-unreachable", f"The broker {_where(self._settings)} cannot be reached.")

    def _tell(self, code: str, sentence: str) -> None:
        if not self._closing:
            self.trouble = Because(code, sentence)


def _where(settings: Mqtt) -> str:
    return f"{settings.host}:{settings.port}"


def _password(settings: Mqtt) -> str | None:
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceWrong(
            f"The password in {settings.password_file} cannot be read: {error}.",
            "Write it there, readable for the agent's user.",
        ) from error

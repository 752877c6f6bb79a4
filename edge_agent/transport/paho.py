"""MQTT 5 through paho-mqtt.

Each connection has a client of its own, so that nothing of an old one (a queue, a session) reaches the next: what
must not be lost is in the spool, and a report is worth sending only while it is true.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, ConnectFlags, DisconnectFlags, MQTTMessage, error_string
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.distrust import distrust
from edge_agent.transport.backoff import Backoff
from edge_agent.transport.port import Listener
from fleet_contract.because import Because
from fleet_contract.encoding import MAX_MESSAGE_BYTES
from fleet_contract.errors import ContractError, VedetteError
from fleet_contract.join import Broker
from fleet_contract.topics import Address, Channel, parse, topic

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger(__name__)
_HEARD = (Channel.DESIRED, Channel.ACK)
#: rumqttd refuses 0; half a minute lets the hub hear of a lost device within 45 s.
KEEP_ALIVE_SECONDS = 30
CONNECT_TIMEOUT_SECONDS = 5.0
#: Of a message's packet, beside its payload: the topic, at most 150 bytes, and a few more.
_ENVELOPE_BYTES = 256
#: For the broker's CONNACK and SUBACK.
READY_TIMEOUT_SECONDS = 10.0


class PahoTransport:
    """A `Transport` for one device. `tls` makes the context for each connection; None is plain TCP."""

    def __init__(self, address: Address, broker: Broker, tls: "Callable[[], ssl.SSLContext] | None" = None) -> None:
        self._address = address
        self._broker = broker
        self._tls = tls
        self._stop = threading.Event()
        self._connection: _Connection | None = None
        self._thread: threading.Thread | None = None

    def start(self, listener: Listener, last_will: Callable[[], bytes]) -> None:
        self._thread = threading.Thread(target=self._run, args=(listener, last_will), name="transport", daemon=True)
        self._thread.start()

    @property
    def max_message_bytes(self) -> int:
        connection = self._connection
        return MAX_MESSAGE_BYTES if connection is None else connection.max_message_bytes

    def send(self, channel: Channel, payload: bytes) -> bool:
        connection = self._connection
        return connection is not None and connection.send(channel, payload)

    def close(self, farewell: bytes, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        connection = self._connection
        self._stop.set()
        if connection is not None:
            connection.leave(farewell, timeout_seconds)
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, listener: Listener, last_will: Callable[[], bytes]) -> None:
        backoff = Backoff()
        while not self._stop.is_set():
            began = time.monotonic()
            because = self._connect(listener, last_will())
            if self._stop.is_set():
                return
            delay = backoff.after(time.monotonic() - began)
            _log.warning("%s; trying again in %.1f s", because, delay)
            listener.disconnected(because)
            self._stop.wait(delay)

    def _connect(self, listener: Listener, last_will: bytes) -> Because:
        """One connection, from its start to its end, and why it ended."""
        where = f"{self._broker.host}:{self._broker.port}"
        try:
            context = self._tls() if self._tls is not None else None
            connection = _Connection(self._address, where, listener, last_will, context)
            connection.open(self._broker)
        except (OSError, ValueError) as error:
            # A ValueError: the name of the broker is none.
            if (doubt := distrust(error)) is not None:
                return Because(
                    "broker-untrusted", f"The broker {where} cannot be trusted: {doubt[0]}. {doubt[1]}".strip()
                )
            return Because("broker-unreachable", f"The broker {where} cannot be reached: {error}")
        except VedetteError as error:
            return error.because
        except Exception as error:  # noqa: BLE001
            _log.exception("the connection to the broker %s could not be begun", where)
            return Because("broker-unreachable", f"The connection to the broker {where} could not be begun: {error!r}")
        self._connection = connection
        try:
            return connection.serve()
        except Exception as error:  # noqa: BLE001
            # A broker that breaks the protocol makes paho raise nearly anything; no such thing may silence us for good.
            _log.exception("the connection to the broker %s failed", where)
            return Because("broker-lost", f"The connection to the broker {where} failed: {error!r}")
        finally:
            self._connection = None


class _Connection:
    """One connection to the broker. Its loop runs on the transport's thread; `send` and `leave` on any."""

    def __init__(
        self, address: Address, where: str, listener: Listener, last_will: bytes, context: "ssl.SSLContext | None"
    ) -> None:
        self._address = address
        self._where = where
        self._listener = listener
        self._ended: Because | None = None
        self._ready = False
        self.max_message_bytes = MAX_MESSAGE_BYTES
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=address.device,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client = self._client
        client.connect_timeout = CONNECT_TIMEOUT_SECONDS
        client.will_set(topic(address, Channel.REPORT), last_will, qos=1)
        self._over_tls = context is not None
        if context is not None:
            client.tls_set_context(context)
        # Without somebody to register with, paho writes to the socket on whichever thread sends, and runs callbacks
        # there; with one, it only queues, and the loop writes.
        client.on_socket_register_write = lambda *_: None

    def open(self, broker: Broker) -> None:
        """Raises OSError."""
        self._client.connect(broker.host, broker.port, KEEP_ALIVE_SECONDS, clean_start=True)

    def serve(self) -> Because:
        """Runs the connection to its end, and says why it ended. Once."""
        client = self._client
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        try:
            return self._until_its_end()
        finally:
            # This and the client know each other: as long as they do, sockets and buffers of what has ended stay until
            # the garbage collector comes by, which is after some dozen reconnects.
            client.on_connect = client.on_subscribe = client.on_message = client.on_disconnect = None

    def _until_its_end(self) -> Because:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while True:
            code = self._client.loop(1.0)
            if self._ended is not None:
                return self._ended
            if code != MQTT_ERR_SUCCESS:
                return self._lost(error_string(code))
            if not self._ready and time.monotonic() > deadline:
                self._client.disconnect()
                return Because(
                    "broker-silent", f"The broker {self._where} did not answer within {READY_TIMEOUT_SECONDS:.0f} s"
                )

    def send(self, channel: Channel, payload: bytes) -> bool:
        if not self._ready or self._ended is not None:
            return False
        return self._client.publish(topic(self._address, channel), payload, qos=1).rc == MQTT_ERR_SUCCESS

    def leave(self, farewell: bytes, timeout_seconds: float) -> None:
        if self._ready and self._ended is None:
            info = self._client.publish(topic(self._address, Channel.REPORT), farewell, qos=1)
            if info.rc == MQTT_ERR_SUCCESS:
                info.wait_for_publish(timeout_seconds)
        self._client.disconnect()

    def _on_connect(
        self, client: Client, _data: None, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._ended = Because("broker-refused", f"The broker refused the connection: {reason}")
            return
        # A broker hangs up on what is larger than it said it takes.
        packet_bytes = getattr(properties, "MaximumPacketSize", MAX_MESSAGE_BYTES + _ENVELOPE_BYTES)
        self.max_message_bytes = min(MAX_MESSAGE_BYTES, packet_bytes - _ENVELOPE_BYTES)
        client.subscribe([(topic(self._address, channel), SubscribeOptions(qos=1)) for channel in _HEARD])

    def _on_subscribe(
        self, _client: Client, _data: None, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if refused := [reason for reason in reasons if reason.is_failure]:
            self._ended = Because("broker-refused", f"The broker refused our subscriptions: {refused[0]}")
            return
        self._ready = True
        self._listener.connected()

    def _on_message(self, _client: Client, _data: None, message: MQTTMessage) -> None:
        try:
            address, channel = parse(message.topic)
        except ContractError as error:
            _log.warning("ignoring a message: %s", error)
            return
        if address != self._address:
            _log.warning("ignoring a message for %s/%s", *address)
            return
        self._listener.received(channel, bytes(message.payload))

    def _on_disconnect(
        self, _client: Client, _data: None, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._ended is None:
            self._ended = self._lost(str(reason))

    def _lost(self, why: str) -> Because:
        if self._ready:
            return Because("broker-lost", f"The connection to the broker {self._where} was lost: {why}")
        # With TLS 1.3 a client is done before its certificate was looked at.
        perhaps = "it may not take this device's certificate" if self._over_tls else "it may not speak MQTT 5"
        return Because(
            "broker-lost",
            f"The connection to the broker {self._where} ended before it was taken ({why}): {perhaps}. Its log says "
            "more.",
        )

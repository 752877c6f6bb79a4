"""The link over MQTT 5, with paho: connects again whenever it must, and subscribes again each time."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from cloud_hub.broker.link import Handlers
from cloud_hub.errors import CannotStart, HubError
from cloud_hub.refusals import Refusals
from fleet_contract.because import Because
from fleet_contract.encoding import MAX_MESSAGE_BYTES
from fleet_contract.errors import ContractError, VedetteError
from fleet_contract.topics import Address, Channel, parse, topic, upward

logger = logging.getLogger(__name__)
_KEEPALIVE_SECONDS = 30
#: What waits for a broker that is away; beyond it nothing more is taken, for all of it can be said again.
_MAX_WAITING = 50_000
_MAX_INFLIGHT = 100


class MessageUnusable(HubError):
    """A message that the hub's own code failed on."""

    code = "message-unusable"


class MessageTooLarge(HubError):
    """A message larger than the contract allows."""

    code = "message-too-large"


@dataclass(frozen=True)
class BrokerAddress:
    """Where an MQTT 5 broker listens."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str) -> "BrokerAddress":
        """From "mqtt://[USER:PASSWORD@]HOST[:PORT]". Raises `CannotStart`."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 1883
        except ValueError:
            parts, host, port = None, None, 0
        if parts is None or parts.scheme != "mqtt" or not host:
            raise CannotStart(
                "The broker's URL is not one that this hub can use.",
                "Write --broker-url mqtt://HOST:PORT, or leave it out for the embedded broker.",
                code="broker-url-wrong",
            )
        user, password = parts.username, parts.password
        return cls(host, port, unquote(user) if user else None, unquote(password) if password else None)


class MqttLink:
    """The port `Link`. Made, then `start`ed with its handlers, then `stop`ped."""

    def __init__(self, broker: BrokerAddress, fleet: str, refusals: Refusals) -> None:
        self._broker = broker
        self._fleet = fleet
        self._refusals = refusals
        self._handlers: Handlers | None = None
        self._connected = threading.Event()
        self._trouble: Because | None = Because("broker-unreachable", f"Not yet connected to {self._where}.")
        # One id for a fleet's hub: a second hub on the same broker takes over from the first, which says so.
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"vedette-hub-{fleet}",
            protocol=paho.MQTTv5,
            reconnect_on_failure=True,
        )
        if broker.username is not None:
            self._client.username_pw_set(broker.username, broker.password)
        self._client.reconnect_delay_set(min_delay=1, max_delay=10)
        self._client.max_queued_messages_set(_MAX_WAITING)
        self._client.max_inflight_messages_set(_MAX_INFLIGHT)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    @property
    def _where(self) -> str:
        return f"the broker at {self._broker.host}:{self._broker.port}"

    def start(self, handlers: Handlers) -> None:
        """Connects on a thread of its own, now or when the broker is there."""
        self._handlers = handlers
        self._client.connect_async(self._broker.host, self._broker.port, _KEEPALIVE_SECONDS)
        self._client.loop_start()

    def stop(self) -> None:
        """Says goodbye and ends the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def wait_connected(self, timeout_seconds: float) -> bool:
        """Whether it is connected and subscribed, within the time."""
        return self._connected.wait(timeout_seconds)

    def publish(self, address: Address, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        if len(payload) > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(
                f"A {channel} message for {address.device!r} has {len(payload)} bytes, above {MAX_MESSAGE_BYTES}."
            )
        result = self._client.publish(topic(address, channel), payload, qos=1, retain=retain)
        if result.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            logger.error("A %s message for %s was not sent: %s", channel, address.device, paho.error_string(result.rc))

    def troubles(self) -> list[Because]:
        """What is wrong now."""
        return [self._trouble] if self._trouble else []

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: ReasonCode, _props: object) -> None:
        if reason.is_failure:
            self._failing("broker-refused", f"{self._where} refused the hub: {reason}.")
            return
        self._client.subscribe(upward(self._fleet), qos=1)

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, reasons: list[ReasonCode], _props: object
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._failing("broker-refused", f"{self._where} does not let the hub listen to {upward(self._fleet)}.")
            return
        logger.info("Connected to %s", self._where)
        self._trouble = None
        self._connected.set()
        assert self._handlers is not None
        self._guarded(None, self._handlers.on_connected)

    def _on_connect_fail(self, _client: object, _data: object) -> None:
        self._failing("broker-unreachable", f"{self._where} cannot be reached.")

    def _on_disconnect(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, _props: object
    ) -> None:
        self._connected.clear()
        if reason.is_failure:
            self._failing("broker-lost", f"The connection to {self._where} broke: {reason}.")

    def _failing(self, code: str, sentence: str) -> None:
        sentence = sentence[0].upper() + sentence[1:]
        if self._trouble is None or self._trouble.sentence != sentence:
            logger.warning("%s Trying again until it works.", sentence)
        self._trouble = Because(code, sentence)

    def _on_message(self, _client: object, _data: object, message: Any) -> None:
        try:
            address, channel = parse(message.topic)
        except (ContractError, UnicodeDecodeError) as error:
            self._refusals.refuse(None, error if isinstance(error, ContractError) else ContractError(str(error)))
            return
        assert self._handlers is not None
        match channel:
            case Channel.REPORT:
                handler = self._handlers.on_report
            case Channel.TELEMETRY:
                handler = self._handlers.on_telemetry
            case Channel.SAMPLES:
                handler = self._handlers.on_samples
            case _:
                unused = ContractError(f"This hub takes nothing on {channel}.", code="channel-unused")
                self._refusals.refuse(address, unused)
                return
        self._guarded(address, lambda: handler(address, message.payload))

    def _guarded(self, address: Address | None, work: Callable[[], None]) -> None:
        # What is raised here would end paho's thread, and with it the whole link.
        try:
            work()
        except VedetteError as error:
            self._refusals.refuse(address, error)
        except Exception:
            logger.exception("The hub failed on a message of %s", address.device if address else "the broker")
            self._refusals.refuse(address, MessageUnusable("The hub failed on it; its log says how."))

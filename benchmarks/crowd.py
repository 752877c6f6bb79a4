"""A part of `benchmarks.orders`: many devices' MQTT 5 connections, all of them in the thread that waits for them.

As agents do, each listens to its desired topic only, and says that it is there once it listens; an order is answered
with a report that it is followed. A thread for each connection, as paho has it, would be measured and not the hub.
"""

import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from fleet_contract.because import Because
from fleet_contract.desired import Assignment, Desired
from fleet_contract.encoding import decode, encode
from fleet_contract.report import ModelReport, Phase, Presence, Release, Report
from fleet_contract.signing import Signed
from fleet_contract.topics import Address, Channel, topic

FLEET = "default"
#: Of the artifact that devices say they fetch.
DIGEST = "sha256:" + "5e" * 32
_PATIENCE_SECONDS = 60.0
#: Longer than any run: nobody here has the time to say that it is alive.
_KEEP_ALIVE_SECONDS = 3600


@dataclass
class _Device:
    """One connection. `order` is the newest that came, of that `generation`, and `at` when it first did, in seconds of
    the monotonic clock."""

    address: Address
    client: paho.Client
    listens: bool = False
    generation: int = 0
    order: bytes = b""
    at: float = 0.0
    reports: int = 0


class Crowd:
    """Connections of `names`, on `target`, to the broker at `port`; those of a crowd that `answers` send reports."""

    def __init__(self, names: Sequence[str], target: str, port: int, *, answers: bool) -> None:
        self._target = target
        self._answers = answers
        self._started_at = datetime.now(UTC)
        self._selector = selectors.DefaultSelector()
        self._devices = [self._connected(name, port) for name in names]
        self.until(lambda: all(device.listens for device in self._devices), "all devices listen")

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for device in self._devices:
            device.client.disconnect()
        self._selector.close()

    def orders_after(self, at: float) -> dict[str, bytes]:
        """The order that each device first had after `at`, in seconds of the monotonic clock, once all have one."""
        self.until(lambda: all(device.at > at for device in self._devices), "each device has an order")
        return {device.address.device: device.order for device in self._devices}

    def last_at(self) -> float:
        """When the last of the newest orders first came."""
        return max(device.at for device in self._devices)

    def until(self, so: Callable[[], bool], what: str, pause_seconds: float = 0.0) -> None:
        """Serves all connections until it is `so`, which is asked with so long a pause between."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not so():
            if time.monotonic() > deadline:
                raise RuntimeError(f"After {_PATIENCE_SECONDS:g} s still not so: {what}.")
            ask_at = time.monotonic() + pause_seconds
            self._turn()
            while time.monotonic() < ask_at:
                self._turn()

    def _connected(self, name: str, port: int) -> _Device:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        device = _Device(Address(FLEET, name), client)
        client.on_connect = partial(self._on_connect, device)
        client.on_subscribe = partial(self._on_subscribe, device)
        client.on_message = partial(self._on_message, device)
        client.connect("127.0.0.1", port, _KEEP_ALIVE_SECONDS, clean_start=True)
        socket = client.socket()
        assert socket is not None
        self._selector.register(socket.fileno(), selectors.EVENT_READ, device)
        return device

    def _turn(self) -> None:
        for key, _ in self._selector.select(0.05):
            device: _Device = key.data
            if device.client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise RuntimeError(f"The broker ended the connection of {device.address.device}.")
            while device.client.want_write():
                device.client.loop_write()

    def _on_connect(
        self, device: _Device, client: paho.Client, _data: object, _flags: object, reason: Any, _props: object
    ) -> None:
        if reason.is_failure:
            raise RuntimeError(f"The broker refused {device.address.device}: {reason}.")
        client.subscribe(topic(device.address, Channel.DESIRED), qos=1)

    def _on_subscribe(self, device: _Device, *_: object) -> None:
        device.listens = True
        if self._answers:
            self._report(device, 0)

    def _on_message(self, device: _Device, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        desired = decode(decode(bytes(message.payload), Signed).signed, Desired)
        # The hub says an order again until it hears that it is followed.
        if desired.generation > device.generation:
            device.generation, device.order, device.at = desired.generation, bytes(message.payload), time.monotonic()
        if self._answers:
            self._report(device, desired.generation, *map(self._fetching, desired.assignments))

    @staticmethod
    def _fetching(one: Assignment) -> ModelReport:
        because = Because("fetching", f"Version {one.version} is fetched.")
        release = Release(one.version, DIGEST)
        return ModelReport(one.model, Phase.FETCHING, because, datetime.now(UTC), release, rollout=one.rollout)

    def _report(self, device: _Device, generation: int, *models: ModelReport) -> None:
        device.reports += 1
        said = Report(
            fleet=FLEET,
            device=device.address.device,
            boot="b1",
            number=device.reports,
            presence=Presence.ONLINE,
            sent_at=datetime.now(UTC),
            agent_version="0.1.0",
            target=self._target,
            generation=generation,
            started_at=self._started_at,
            models=models,
        )
        device.client.publish(topic(device.address, Channel.REPORT), encode(said), qos=1)

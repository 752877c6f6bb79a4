"""How long it takes to order 2,000 connected devices to a version: from the word of a person to the last of them.

The hub is a process of its own with its embedded broker, as anybody would start it, and each device an MQTT 5
connection of its own that answers its order with a report, as an agent does. The rollout is one wave of everyone, with
no rate: the clock starts before the hub is asked for it, and stops when the last device has its order. The first round
gives devices their first order, those after it a newer one; the slowest counts. Each order is then opened as its
device would open it.

The anchor is the broker alone: one client publishes the very same messages, to be retained, to as many connections.
`--quick` takes 200 devices, for a look.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import ColumnElement, func, select
from sqlmodel import col

from benchmarks import releases
from benchmarks.crowd import FLEET, Crowd
from benchmarks.exactness import HubProcess
from benchmarks.figure import Figure, report
from cloud_hub.access.store import put_device
from cloud_hub.broker.embedded import EmbeddedBroker
from cloud_hub.database import Database
from cloud_hub.devices.tables import Device
from cloud_hub.keys import open_keys
from cloud_hub.ports import free_port
from fleet_client import Client
from fleet_contract.desired import open_desired
from fleet_contract.errors import ContractError
from fleet_contract.topics import Address, Channel, topic

DEVICES, DEVICES_QUICK = 2_000, 200
ROUNDS = 3
REACH_SECONDS = 10.0
TARGET = "cpu-avx2"
POLICY = {"waves": [{"percent": 100}], "rate": None}
_PAUSE_SECONDS = 0.2


def main() -> int:
    """Prints the figures; 0 when every promise is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orders", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few devices, for a look")
    devices = DEVICES_QUICK if parser.parse_args().quick else DEVICES
    names = [f"gateway-{number:04}" for number in range(devices)]
    with tempfile.TemporaryDirectory(prefix="vedette-orders-") as name:
        hub = HubProcess(Path(name))
        hub.start()
        try:
            hub.wait_ready()
            seconds, wrong, orders = _ordered(hub, names)
        except RuntimeError as error:
            raise RuntimeError(f"{error} The hub said last: {hub.last_words()}") from error
        finally:
            hub.stop()
        anchor = max(_published(Path(name), names, orders) for _ in range(ROUNDS))
    many = f"{devices:,} connections"
    return report(
        [
            Figure(f"{many}: asked for to the last order", max(seconds), REACH_SECONDS, "s", anchor),
            Figure("... the first order of each device", seconds[0], REACH_SECONDS, "s", anchor),
            Figure("... orders that a device could not follow", wrong, 0, "orders"),
        ]
    )


def _ordered(hub: HubProcess, names: Sequence[str]) -> tuple[list[float], int, dict[str, bytes]]:
    """Seconds of each round, orders that were not what they should be, and the newest of each device."""
    database = Database(f"sqlite:///{hub.data / 'hub.sqlite'}")
    trusted = (open_keys(hub.data / "keys", FLEET).hub.public,)
    _join(database, names)
    seconds, wrong, orders = [], 0, {}
    with Client(f"http://127.0.0.1:{hub.port}") as client, Crowd(names, TARGET, hub.mqtt_port, answers=True) as crowd:
        crowd.until(lambda: _heard_from(database) == len(names), "the hub has heard from all", _PAUSE_SECONDS)
        for version in range(1, ROUNDS + 1):
            began = time.monotonic()
            client.rollouts.create("digits", version, POLICY)
            orders = crowd.orders_after(began)
            seconds.append(crowd.last_at() - began)
            for name, order in orders.items():
                try:
                    desired = open_desired(order, trusted, Address(FLEET, name), version, datetime.now(UTC))
                    wrong += [one.version for one in desired.assignments] != [version]
                except ContractError:
                    wrong += 1
            crowd.until(lambda at=version: _following(database, at) == len(names), "all follow it", _PAUSE_SECONDS)  # type: ignore[misc]
    database.dispose()
    return seconds, wrong, orders


def _join(database: Database, names: Sequence[str]) -> None:
    now = datetime.now(UTC)
    with database.session() as session:
        releases.register(session, "digits", ROUNDS, [TARGET], now)
        for name in names:
            put_device(session, Device(id=name, fleet=FLEET, target=TARGET, key="k", joined_at=now), {}, "It joined.")


def _heard_from(database: Database) -> int:
    return _count(database, col(Device.presence) == "online")


def _following(database: Database, generation: int) -> int:
    return _count(database, col(Device.generation) >= generation)


def _count(database: Database, which: ColumnElement[bool]) -> int:
    with database.reading() as session:
        count: int = session.execute(select(func.count()).select_from(Device).where(which)).scalar_one()
    return count


def _published(folder: Path, names: Sequence[str], orders: dict[str, bytes]) -> float:
    """Seconds from the first publish of `orders` to the arrival of the last, with a broker and no hub."""
    port = free_port("127.0.0.1", 0)
    broker = EmbeddedBroker(folder, port)
    broker.start()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="anchor", protocol=paho.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        with Crowd(names, TARGET, port, answers=False) as crowd:
            began = time.monotonic()
            for name, order in orders.items():
                client.publish(topic(Address(FLEET, name), Channel.DESIRED), order, qos=1, retain=True)
            crowd.orders_after(began)
            return crowd.last_at() - began
    finally:
        client.disconnect()
        client.loop_stop()
        broker.stop()


if __name__ == "__main__":
    sys.exit(main())

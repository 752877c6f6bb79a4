"""The hub as a process: how it starts, what it answers, how it ends."""

import http.client
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cloud_hub.__main__ import main
from cloud_hub.ports import is_taken
from fleet_contract.encoding import decode, encode
from fleet_contract.join import JoinRequest, open_identity, parse_token
from fleet_contract.signing import envelope
from fleet_contract.telemetry import Ack, Event, Lane, Record, batch_of, channel_of, encode_batch
from fleet_contract.topics import Address, Channel, topic
from tests.fakes.certificates import request_for
from tests.fakes.hub_process import HubProcess
from tests.fakes.lake import sample, window
from tests.fakes.reports import INVENTORY, report
from tests.fakes.waiting import until

EVENT = Event(1, 0, "started", "started", "Agent 0.1.0 started.")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("hub") / "data") as hub:
        yield hub


def status_of(hub: HubProcess, path: str, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(hub.url + path, headers={name.replace("_", "-"): v for name, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`refused("--port", "1", ...)` starts a hub, which must end with 1, and gives the sentence that it says."""
    for name in [name for name in os.environ if name.startswith("VEDETTE_")]:
        monkeypatch.delenv(name)

    def refused(data: Path, *flags: str) -> str:
        assert main(["--data", str(data), "--port", "0", "--mqtt-port", "0", *flags]) == 1
        return capsys.readouterr().err

    return refused


def test_it_tells_people_and_programs_where_it_is(hub: HubProcess) -> None:
    assert hub.note["pid"] == hub.pid
    until(lambda: f"Vedette hub ready: {hub.url}" in hub.log.read_text())
    assert hub.get("/api/v1/health") == {
        "status": "ok",
        "version": "0.1.0",
        "troubles": [],
        "broker": {"host": "127.0.0.1", "port": hub.mqtt_port},
        "refused_messages": {},
        "last_refused": None,
    }
    assert status_of(hub, "/healthz") == (200, b"ok\n")


def test_a_second_hub_on_the_same_folder_names_the_first(hub: HubProcess, refused: Callable[..., str]) -> None:
    said = refused(hub.data)
    assert f"process {hub.pid}" in said
    assert str(hub.data) in said


def test_a_taken_port_is_named(hub: HubProcess, refused: Callable[..., str], tmp_path: Path) -> None:
    port = urlsplit(hub.url).port
    said = refused(tmp_path / "a", "--port", str(port))
    assert f"port {port}" in said
    assert "--port" in said
    said = refused(tmp_path / "b", "--mqtt-port", str(hub.mqtt_port))
    assert f"port {hub.mqtt_port}" in said
    assert "--mqtt-port" in said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--host", "0.0.0.0"), "VEDETTE_API_TOKEN"),
        (("--port", "70000"), "--port"),
        (("--database-url", "mysql://localhost/hub"), "sqlite:///"),
        (("--broker-url", "http://localhost"), "mqtt://"),
        (("--blobs-url", "ftp://x"), "--blobs-url"),
        (("--lake-url", "ftp://x"), "--lake-url"),
    ],
)
def test_a_wrong_flag_is_said_in_a_sentence(
    refused: Callable[..., str], tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    assert said in refused(tmp_path / "data", *flags)


def test_openapi_says_what_every_route_does(hub: HubProcess) -> None:
    document = hub.get("/api/v1/openapi.json")
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) > 10
    for name, operation in operations:
        assert operation.get("summary") or operation.get("description"), name
        assert operation["responses"]["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/Problem"), name


def test_a_foreign_name_is_refused(hub: HubProcess) -> None:
    assert status_of(hub, "/api/v1/devices", Host="evil.example")[0] == 403


def test_a_device_joins_reports_and_is_seen(hub: HubProcess) -> None:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    made = hub.ask("POST", "/api/v1/devices/tokens", {"device": "gw-1", "labels": {"site": "lyon"}})
    token = parse_token(made["token"])
    asked = JoinRequest(
        token.secret, request_for(ec.generate_private_key(ec.SECP256R1())), "cpu-avx2", "0.1.0", INVENTORY
    )
    with urllib.request.urlopen(f"{token.hub}/api/v1/join", encode(asked)) as answer:
        identity = open_identity(envelope(answer.read()), token)
    assert identity.broker.port == hub.mqtt_port
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=identity.device, protocol=paho.MQTTv5)
    client.connect(identity.broker.host, identity.broker.port)
    client.loop_start()
    where = topic(Address(identity.fleet, identity.device), Channel.REPORT)
    client.publish(where, b"rubbish", qos=1)
    client.publish(where, encode(report("gw-1")), qos=1).wait_for_publish(10)
    until(lambda: hub.get("/api/v1/devices/gw-1")["presence"] == "online")
    client.disconnect()
    client.loop_stop()
    assert hub.get("/api/v1/devices?label=site=lyon&presence=online")["total"] == 1
    health = hub.get("/api/v1/health")
    assert health["refused_messages"] == {"undecodable": 1}
    assert health["last_refused"]["device"] == "gw-1"
    assert health["status"] == "ok", "one device's rubbish does not make the hub sick"


@pytest.mark.parametrize(("lane", "record"), [(Lane.WINDOWS, window()), (Lane.EVENTS, EVENT), (Lane.SAMPLES, sample())])
def test_what_a_device_sends_of_each_lane_is_in_its_table_once(hub: HubProcess, lane: Lane, record: Record) -> None:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    address, heard = Address("default", f"gw-{lane}"), list[Ack]()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=address.device, protocol=paho.MQTTv5)
    client.on_message = lambda _c, _d, message: heard.append(decode(message.payload, Ack))
    client.on_connect = lambda *_: client.subscribe(topic(address, Channel.ACK), qos=1)
    client.connect("127.0.0.1", hub.mqtt_port)
    client.loop_start()
    payload = encode_batch(batch_of(address.device, "b0", 0, lane, (record,)))
    for count in (1, 2):
        client.publish(topic(address, channel_of(lane)), payload, qos=1).wait_for_publish(10)
        until(lambda: len(heard) == count)  # noqa: B023
    client.disconnect()
    client.loop_stop()
    assert {(ack.boot, ack.through, ack.lane, ack.batch) for ack in heard} == {("b0", 1, lane, "")}
    sql = f"SELECT boot, sequence, fleet FROM {lane} WHERE device = '{address.device}'"
    assert hub.ask("POST", "/api/v1/lake/query", {"sql": sql})["rows"] == [["b0", 1, "default"]]


def test_it_stops_cleanly_within_five_seconds_with_streams_open(tmp_path: Path) -> None:
    with HubProcess(tmp_path / "data") as hub:
        broker = [child.pid for child in psutil.Process(hub.pid).children()]
        address = urlsplit(hub.url)
        streams = []
        for _ in range(3):
            stream = http.client.HTTPConnection(address.hostname or "", address.port)
            stream.request("GET", "/events?subjects=devices")
            answer = stream.getresponse()
            assert answer.status == 200
            assert answer.readline() == b"event: changed\n"
            streams.append((stream, answer))
        began = time.monotonic()
        assert hub.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 5
        for stream, answer in streams:
            answer.read()
            stream.close()
        assert "Traceback" not in hub.log.read_text()
        assert not any(psutil.pid_exists(pid) for pid in broker)


def test_killed_it_takes_its_broker_along_and_starts_again_on_the_same_ports(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path / "data")
    with hub:
        before = hub.note
        hub.end(signal.SIGKILL)
    with hub:
        assert {**hub.note, "pid": 0} == {**before, "pid": 0}
        assert is_taken("127.0.0.1", hub.mqtt_port)
        port = hub.mqtt_port
        hub.end(signal.SIGKILL)
    until(lambda: not is_taken("127.0.0.1", port))


def test_with_an_api_token_the_api_and_the_console_ask_for_it(tmp_path: Path) -> None:
    token = "a-long-enough-token"
    with HubProcess(tmp_path / "data", VEDETTE_API_TOKEN=token) as hub:
        assert status_of(hub, "/api/v1/devices")[0] == 401
        assert status_of(hub, "/api/v1/devices", Authorization=f"Bearer {token}")[0] == 200
        assert status_of(hub, "/healthz")[0] == 200
        assert status_of(hub, "/api/v1/join")[0] == 405
        assert status_of(hub, "/login")[0] == 200
        assert hub.end() == 0


def test_it_works_on_postgresql_and_s3(tmp_path: Path, postgres_server: Any, s3: Any) -> None:
    name = postgres_server.new_database()
    flags = [
        "--database-url",
        postgres_server.url(name),
        "--blobs-url",
        f"{s3.url}/blobs",
        "--lake-url",
        f"{s3.url}/lake",
    ]
    with HubProcess(tmp_path / "data", *flags, "--s3-endpoint-url", s3.endpoint) as hub:
        assert hub.get("/api/v1/devices")["total"] == 0
        assert hub.get("/api/v1/health")["status"] == "ok"
        assert hub.end() == 0
    postgres_server.drop_database(name)

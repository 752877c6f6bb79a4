"""The whole agent as a process, against the real broker: it joins in, follows, reports, outlives, and stops."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent import identity
from edge_agent.state import StateFolder
from fleet_contract.encoding import decode, encode
from fleet_contract.join import Broker, Identity
from fleet_contract.report import Phase, Presence, Report
from fleet_contract.telemetry import Ack, Batch, Event, Lane, decode_batch
from fleet_contract.topics import Channel, parse, topic, upward
from tests.edge_agent.kernel import has_huge_pages, huge_bytes
from tests.fakes.blob_server import BlobServer, serving
from tests.fakes.device import ADDRESS, HUB_KEY, RELEASE_KEY, a_desired, an_assignment
from tests.fakes.rumqttd import free_port, rumqttd
from tests.fakes.tiny_models import Build, a_build, images, scores_of
from tests.fakes.wire import Wire


class Hub:
    """The hub's side of the broker: it remembers what comes, and acks like ingest does while `acking`."""

    def __init__(self, port: int, before: "Hub | None" = None) -> None:
        """`before` leaves it what is durable."""
        self.reports: list[Report] = []
        self.counted: dict[tuple[str, int], int] = {} if before is None else before.counted
        self.marks: dict[str, int] = {} if before is None else before.marks
        self.events: list[Event] = []
        self.acking = True
        ready = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="hub", protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe(upward("default"), qos=1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _client, _data, message: self._take(message.topic, bytes(message.payload))
        self.client.connect("127.0.0.1", port, 30)
        self.client.loop_start()
        assert ready.wait(60)

    def order(self, generation: int, *builds: Build) -> None:
        payload = a_desired(generation, *(an_assignment(build.manifest) for build in builds))
        self.client.publish(topic(ADDRESS, Channel.DESIRED), payload, qos=1, retain=True).wait_for_publish(5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def said(self, condition: Callable[[Report], object], seconds: float = 20.0) -> Report:
        """Waits until the newest report is such."""
        until(lambda: self.reports and condition(self.reports[-1]), seconds)
        return self.reports[-1]

    def _take(self, name: str, payload: bytes) -> None:
        if parse(name)[1] is Channel.REPORT:
            self.reports.append(decode(payload, Report))
        elif self.acking:
            self._ingest(decode_batch(payload))

    def _ingest(self, batch: Batch) -> None:
        if batch.lane is Lane.EVENTS:
            self.events.extend(batch.events)
            last = batch.events[-1].sequence
            answer = Ack(batch.device, batch.boot, last, Lane.EVENTS)
            self.client.publish(topic(ADDRESS, Channel.ACK), encode(answer), qos=1)
            return
        mark = self.marks.get(batch.boot, 0)
        if batch.after <= mark:
            for window in batch.windows:
                if window.sequence > mark:
                    self.counted[batch.boot, window.sequence] = window.count
                    mark = window.sequence
        self.marks[batch.boot] = mark
        self.client.publish(topic(ADDRESS, Channel.ACK), encode(Ack(batch.device, batch.boot, mark)), qos=1)


class Process:
    """`vedette-agent run` on a state folder that has joined."""

    def __init__(self, folder: Path, port: int, hub_url: str, environment: dict[str, str] | None = None) -> None:
        self.state = StateFolder(folder / "state")
        self.state.create()
        now = datetime.now(UTC)
        keys = (HUB_KEY.public,), (RELEASE_KEY.public,)
        who = Identity(*ADDRESS, hub_url, Broker("127.0.0.1", port), *keys, "", "", "cpu-vnni", now)
        identity.save(self.state, who)
        self.config = folder / "agent.toml"
        self.config.write_text(
            'state_dir = "state"\nheartbeat_seconds = 1\n[telemetry]\nwindow_seconds = 0.2\n'
            '[[sources]]\nkind = "replay"\nmodel = "digits"\npath = "replay.npz"\nrate_per_second = 200\n'
        )
        if not (folder / "replay.npz").exists():
            np.savez(folder / "replay.npz", **{"inputs/image": images(50)})
        self.environment = environment
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", "run", "--config", self.config],
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, float]:
        """The exit code, the log, and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=90)
        return self.process.returncode, log, time.monotonic() - began


def runs(report: Report, version: int) -> bool:
    running = report.models[0].running if report.models else None
    return running is not None and running.version == version


def until(condition: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def broker(tmp_path, port) -> Iterator[None]:
    with rumqttd(tmp_path, port):
        yield


@pytest.fixture
def hub(broker, port) -> Iterator[Hub]:
    hub = Hub(port)
    yield hub
    hub.close()


@pytest.fixture
def server() -> Iterator[BlobServer]:
    with serving() as server:
        yield server


@pytest.fixture
def agent(tmp_path, port, server) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(**environment: str) -> Process:
        started.append(Process(tmp_path, port, server.url, {**os.environ, **environment}))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop(signal.SIGKILL)


def test_an_order_becomes_a_running_model_whose_windows_arrive_exactly_once(hub, server, agent):
    build = a_build(1)
    server.blobs.update(build.blobs)
    hub.order(1, build)
    process = agent()
    report = hub.said(lambda one: one.models and one.models[0].phase is Phase.SETTLED)
    assert report.models[0].running.version == 1
    assert report.generation == 1
    assert report.inventory.runtimes["onnxruntime"]
    assert "CPUExecutionProvider" in report.inventory.providers
    until(lambda: sum(hub.counted.values()) > 200)
    code, log, seconds = process.stop()
    assert code == 0, log
    assert seconds < 5
    hub.said(lambda one: one.presence is Presence.CLOSING)
    boot = hub.reports[-1].boot
    assert hub.marks[boot] >= 1
    assert [sequence for _, sequence in sorted(hub.counted)] == list(range(1, len(hub.counted) + 1))


def test_an_application_asks_whichever_version_is_live_on_one_connection(hub, server, agent):
    process = agent()
    socket_path = process.state.path / "vedette.sock"
    until(socket_path.exists)
    content = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [8, 4], "data": images(8).tolist()}]}
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(60)
        connected.connect(str(socket_path))
        wire = Wire(connected)
        assert wire.get("/v2/health/live").status == 200
        assert wire.infer(content).status in {404, 503}, "there is no model yet"
        for version in (1, 2):
            build = a_build(version)
            server.blobs.update(build.blobs)
            hub.order(version, build)
            hub.said(lambda one, version=version: runs(one, version))
            answer = wire.infer(content).json
            assert answer["model_version"] == str(version)
            scores = np.reshape(answer["outputs"][0]["data"], (8, 3))
            np.testing.assert_allclose(scores, scores_of(version), rtol=1e-5)
        code, log, seconds = process.stop()
        assert wire.ended
    assert code == 0, log
    assert seconds < 5
    assert not socket_path.exists()


def test_it_goes_on_inferring_without_hub_and_broker_and_catches_up(tmp_path, port, server, agent):
    build = a_build(1)
    server.blobs.update(build.blobs)
    with rumqttd(tmp_path, port):
        hub = Hub(port)
        hub.order(1, build)
        agent()
        hub.said(lambda one: one.models and one.models[0].phase is Phase.SETTLED)
        hub.close()
    time.sleep(2.0)
    with rumqttd(tmp_path, port):
        again = Hub(port, hub)
        report = again.said(lambda one: one.presence is Presence.ONLINE)
        assert report.boot == hub.reports[-1].boot
        until(lambda: sum(again.counted.values()) > 500)
        again.said(lambda one: one.spool.records <= 2)
        again.close()
    sequences = sorted(sequence for _, sequence in again.counted)
    assert sequences == list(range(1, len(sequences) + 1))


@pytest.mark.skipif(not has_huge_pages(), reason="this kernel has no huge pages for whoever asks")
def test_it_lies_in_huge_pages_once_it_runs(hub, server, agent):
    build = a_build(1)
    server.blobs.update(build.blobs)
    hub.order(1, build)
    process = agent()
    hub.said(lambda one: one.models and one.models[0].phase is Phase.SETTLED)
    until(lambda: huge_bytes(process.process.pid))


def test_what_a_killed_agent_had_kept_is_sent_by_the_next_one_under_its_boot(hub, server, agent):
    hub.acking = False
    build = a_build(1)
    server.blobs.update(build.blobs)
    hub.order(1, build)
    process = agent()
    killed = hub.said(lambda one: one.spool and one.spool.records >= 3)
    process.stop(signal.SIGKILL)
    hub.said(lambda one: one.presence is Presence.LOST)
    hub.acking = True
    process.start()
    hub.said(lambda one: one.boot != killed.boot and one.models and one.models[0].running is not None)
    until(lambda: hub.marks.get(killed.boot, 0) >= killed.spool.records)
    until(lambda: any(boot != killed.boot for boot, _ in hub.counted))


def test_a_disk_that_damages_a_model_is_told_of_though_the_model_is_back_before_anybody_listens(hub, server, agent):
    build = a_build(1)
    server.blobs.update(build.blobs)
    process = agent()
    hub.order(1, build)
    hub.said(lambda one: runs(one, 1))
    process.stop()
    artifact = process.state.artifacts / build.manifest.artifact.digest.removeprefix("sha256:")
    artifact.write_bytes(bytes(len(build.artifact)))
    process.start()
    hub.said(lambda one: runs(one, 1) and [trouble.code for trouble in one.troubles] == ["artifact-damaged"])
    until(lambda: ("trouble", "artifact-damaged") in {(one.kind, one.code) for one in hub.events})
    assert artifact.read_bytes() == build.artifact
    assert process.stop()[0] == 0


def test_a_missing_dataset_is_a_trouble_in_the_report_until_it_is_there(hub, server, agent, tmp_path):
    build = a_build(1)
    server.blobs.update(build.blobs)
    hub.order(1, build)
    process = agent()
    (tmp_path / "replay.npz").unlink()
    report = hub.said(lambda one: one.troubles)
    assert report.troubles[0].code == "source-wrong"
    assert "replay.npz" in report.troubles[0].sentence
    assert process.process.poll() is None
    np.savez(tmp_path / "replay.npz", **{"inputs/image": images(50)})
    hub.said(lambda one: not one.troubles)


def test_a_second_agent_on_the_same_state_is_told_so(hub, agent):
    first = agent()
    hub.said(lambda one: one.presence is Presence.ONLINE)
    command = [sys.executable, "-m", "edge_agent", "run", "--config", first.config]
    second = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert second.returncode == 1
    assert f"Another agent (process {first.process.pid}) runs on" in second.stderr
    assert first.process.poll() is None


def test_an_unsigned_order_is_refused_with_a_reason_and_harms_nothing(hub, agent):
    agent()
    hub.said(lambda one: one.presence is Presence.ONLINE)
    hub.client.publish(topic(ADDRESS, Channel.DESIRED), b'{"signed": {}, "signatures": []}', qos=1)
    assert hub.said(lambda one: one.refused).refused.code == "signature-wrong"


def test_it_stops_in_time_when_the_broker_has_gone_silent(agent, port):
    with socket.create_server(("127.0.0.1", port)) as silent:
        process = agent()
        silent.accept()
        code, log, seconds = process.stop()
    assert code == 0, log
    assert seconds < 5


def test_it_tells_systemd_that_it_is_ready_alive_and_stopping(hub, agent, tmp_path):
    heard: queue.Queue[str] = queue.Queue()
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(60)
    process = agent(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
    for _ in range(3):
        heard.put(manager.recv(100).decode())
    process.stop()
    assert [heard.get() for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    while (message := manager.recv(100).decode()) == "WATCHDOG=1":
        pass
    assert message == "STOPPING=1"
    manager.close()

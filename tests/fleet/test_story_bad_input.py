"""Bad input gets a clear error where it happens, and nothing else is harmed."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from fleet_client.demo.child import ChildFailed
from fleet_client.demo.programs import command, join
from fleet_client.views import Device, Health
from fleet_contract.desired import Desired, sign_desired
from fleet_contract.encoding import encode
from fleet_contract.signing import PrivateKey
from fleet_contract.telemetry import Batch, Window, encode_batch
from fleet_contract.topics import Address, Channel, topic
from tests.built import Digits
from tests.fleet.world import (
    PATIENCE_SECONDS,
    Agent,
    AgentFactory,
    Hub,
    ended,
    eventually,
    publish,
    rolled_out,
    vedette,
)

pytestmark = pytest.mark.timeout(1200)
STRANGER = PrivateKey(b"s" * 32)
GATELESS = {"waves": [{"percent": 100}], "soak_seconds": 0, "minimum_records": 0}


def test_orders_and_telemetry_of_a_stranger_are_refused_and_nothing_else_is_harmed(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    address = Address("default", one.name)

    # Signed by a key that nobody trusts: to run nothing any more.
    now = datetime.now(UTC)
    foreign = sign_desired(Desired("default", one.name, 99, now, now + timedelta(days=1), ()), STRANGER)
    publish(hub, topic(address, Channel.DESIRED), encode(foreign))
    publish(hub, topic(address, Channel.DESIRED), b"\x00 not json")

    def refused() -> Device | None:
        device = one.seen()
        return device if device.refused else None

    assert eventually(refused, "the agent says that it refused").refused.code in (  # type: ignore[union-attr]
        "signature-wrong",
        "undecodable",
    )
    assert "signature-wrong" in one.log

    # Telemetry that claims another device, and some that nobody can read.
    window = Window(1, "digits", 1, "sha256:" + "0" * 64, 0, 1000, 1_000_000, 0, {}, {"7": 1_000_000}, (0,) * 21)
    claimed = encode_batch(Batch("press-08", "0123456789abcdef", 0, (window,)))
    for payload in (claimed, b"\x00 no batch", b""):
        publish(hub, topic(address, Channel.TELEMETRY), payload)

    def counted() -> Health | None:
        health = hub.client.health()
        return health if sum(health.refused_messages.values()) >= 3 else None

    health = eventually(counted, "the hub counts what it refused")
    assert health.refused_messages["device-wrong"] == 1
    assert health.refused_messages["undecodable"] == 2
    assert health.last_refused is not None
    assert health.last_refused.device == one.name
    assert health.status == "ok"

    # It runs on, and its own telemetry goes on arriving.
    device = one.runs("digits", 1)
    assert device.presence == "online"
    counted_now = "SELECT count(*) FROM windows WHERE device = 'press-07'"
    before = hub.client.lake.query(counted_now).rows[0][0]
    eventually(lambda: hub.client.lake.query(counted_now).rows[0][0] > before, "more windows arrive")
    assert hub.client.lake.query("SELECT DISTINCT device FROM windows").rows == (("press-07",),)
    rolled_out_again = hub.client.models.register(digits.good)
    rolled_out(hub, rolled_out_again.version, one)
    assert one.seen().refused is None, "orders of its hub are followed as before"


def test_an_artifact_with_a_flipped_bit_is_rejected_and_the_rollout_reverts(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07")
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, one)
    worse = hub.client.models.register(digits.worse)
    digest = next(a.digest for a in worse.artifacts if a.target == "cpu-vnni")
    (stored,) = [path for path in (hub.data / "blobs").rglob("*") if path.is_file() and _digest(path) == digest]
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    stored.write_bytes(damaged)

    made = hub.client.rollouts.create("digits", 2, GATELESS)
    rollout = ended(hub, made.id)
    assert (rollout.state, rollout.because.code) == ("reverted", "too-many-failed"), rollout.because
    events = hub.client.devices.events(one.name).items
    (rejected,) = [event for event in events if event.phase == "rejected"]
    assert rejected.version == 2
    assert "digest" in rejected.because.sentence or "hash" in rejected.because.sentence
    device = one.runs("digits", 1)
    assert device.presence == "online"


def test_a_model_that_is_no_onnx_is_refused_when_it_is_registered(hub: Hub, digits: Digits, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(digits.good, tmp_path / "novel"))
    text = b"It was a dark and stormy night. " * 400
    for target in ("cpu-vnni", "cpu-avx2"):
        (folder / f"artifact.{target}.onnx").write_bytes(text)
        file = folder / f"manifest.{target}.json"
        manifest = msgspec.json.decode(file.read_bytes())
        manifest["artifact"] = {"digest": _digest(folder / f"artifact.{target}.onnx"), "size_bytes": len(text)}
        file.write_bytes(msgspec.json.encode(manifest))
    done = vedette(hub, "models", "register", str(folder))
    assert done.returncode == 1
    assert "ONNX" in done.stderr
    assert vedette(hub, "models", "list", "-o", "json").stdout.strip() == "[]", "nothing of it is kept"
    assert hub.client.models.register(digits.good).version == 1


def test_a_version_without_an_artifact_for_a_devices_target_is_not_rolled_out(
    hub: Hub, agent: AgentFactory, digits: Digits, tmp_path: Path
) -> None:
    agent("press-07", target="cpu-avx2")
    folder = Path(shutil.copytree(digits.good, tmp_path / "half"))
    (folder / "manifest.cpu-avx2.json").unlink()
    assert vedette(hub, "models", "register", str(folder)).returncode == 0
    done = vedette(hub, "rollouts", "create", "digits", "1")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "cpu-avx2" in done.stderr
    assert "[artifact-missing]" in done.stderr
    assert "Traceback" not in done.stderr
    assert hub.client.rollouts.page().total == 0
    # For the devices that it is built for, it is fine.
    assert vedette(hub, "rollouts", "create", "digits", "1", "--target", "cpu-vnni").returncode == 0


def test_what_is_not_there_is_said_by_name(hub: Hub) -> None:
    for arguments, name in (
        (["devices", "show", "nobody"], "nobody"),
        (["devices", "label", "nobody", "a=b"], "nobody"),
        (["models", "show", "nothing"], "nothing"),
        (["rollouts", "create", "nothing", "1"], "nothing"),
        (["rollouts", "show", "never"], "never"),
        (["rollouts", "watch", "never"], "never"),
        (["lake", "query", "SELECT * FROM nowhere"], "nowhere"),
        (["devices", "token", "Not_A_Name"], "Not_A_Name"),
    ):
        done = vedette(hub, *arguments)
        assert done.returncode == 1, arguments
        assert name in done.stderr, arguments
        assert "Traceback" not in done.stderr


def test_a_second_hub_on_one_data_folder_and_one_on_a_taken_port_are_told_so(hub: Hub, tmp_path: Path) -> None:
    def start(data: Path, port: int, mqtt_port: int) -> subprocess.CompletedProcess[str]:
        ports = ("--port", str(port), "--mqtt-port", str(mqtt_port))
        return subprocess.run(
            command("cloud_hub", "--data", str(data), *ports),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    for done, words in (
        (start(hub.data, 0, 0), ("Another hub", str(hub.data), str(hub.child.pid), "--data")),
        (start(tmp_path / "other", hub.port, 0), ("taken", str(hub.port), "--port")),
        (start(tmp_path / "third", 0, hub.mqtt_port), ("taken", str(hub.mqtt_port), "--mqtt-port")),
    ):
        assert done.returncode == 1, done.stderr
        assert all(word in done.stderr for word in words), done.stderr
        assert "Traceback" not in done.stderr
    assert hub.client.health().status == "ok"


def test_a_token_joins_one_device_and_no_other(hub: Hub, agent: AgentFactory, tmp_path: Path) -> None:
    one: Agent = agent("press-07")
    token = hub.client.devices.token("press-08").token
    other = tmp_path / "other.toml"
    other.write_text('state_dir = "other"\n')
    join("press-08", token, other, tmp_path / "join.log").finish(PATIENCE_SECONDS)
    # The same device may ask again: its first answer may have been lost.
    join("press-08", token, other, tmp_path / "again.log").finish(PATIENCE_SECONDS)
    thief = tmp_path / "thief.toml"
    thief.write_text('state_dir = "thief"\n')
    with pytest.raises(ChildFailed) as refused:
        join("a thief", token, thief, tmp_path / "thief.log").finish(PATIENCE_SECONDS)
    assert "token-used" in refused.value.tail
    with pytest.raises(ChildFailed) as cut:
        join("half a token", token[:-9], thief, tmp_path / "cut.log").finish(PATIENCE_SECONDS)
    assert "token-wrong" in cut.value.tail
    assert {device.id for device in hub.client.devices.all()} == {"press-07", "press-08"}
    assert one.online()


def test_an_agent_that_has_not_joined_says_how_to(hubs: Callable[..., Hub], tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('state_dir = "state"\n')
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "run", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 1
    assert "vedette devices token" in done.stderr


def _digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"

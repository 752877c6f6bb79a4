"""Each thing that can be wrong with a device is planted, and the doctor names it and what to do."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from edge_agent.doctor import hardware, network, service, storage, trust
from edge_agent.doctor.finding import Finding, Verdict, told
from edge_agent.join import _certificate_request, device_key
from edge_agent.sources.settings import Camera, Folder, Mqtt, Replay
from edge_agent.state import StateFolder
from fleet_contract.join import Broker, Identity
from provisioning.pki import Authority, Request
from tests.edge_agent.doctor.found import the
from tests.edge_agent.transport.test_tls import tls_in_front_of
from tests.fakes.certificates import server_context
from tests.fakes.hub import Answer, fake_hub
from tests.fakes.rumqttd import free_port, rumqttd

NOW = datetime.now(UTC)
AUTHORITY = Authority.make("default")


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    state = StateFolder(tmp_path / "state")
    state.create()
    return state


def joined(state: StateFolder, *, port: int = 1, tls: bool = False, hub: str = "http://127.0.0.1:1") -> Identity:
    certificate = AUTHORITY.sign_device(Request(_certificate_request(device_key(state))), "press-1", NOW)
    broker = Broker("127.0.0.1", port, tls)
    return Identity("default", "press-1", hub, broker, (), (), certificate, AUTHORITY.certificate, "cpu-vnni", NOW)


# Where the state is.


def test_a_sound_state_folder_is_fine(state):
    findings = list(storage.storage(state, 1024))
    assert {one.verdict for one in findings} <= {Verdict.OK, Verdict.WARNING}
    assert "no agent runs" in findings[0].sentence


def test_a_state_folder_that_is_missing_is_named(tmp_path):
    assert "none" in the(storage.storage(StateFolder(tmp_path / "none"), 0), Verdict.WRONG).sentence


def test_a_state_folder_that_others_may_enter_is_wrong(state):
    state.path.chmod(0o755)
    assert the(storage.storage(state, 0), Verdict.WRONG).remedy == f"chmod 700 {state.path}"


def test_a_key_that_others_may_read_is_wrong(state):
    device_key(state)
    state.device_key.chmod(0o640)
    assert str(state.device_key) in the(storage.storage(state, 0), Verdict.WRONG).sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_that_another_user_has_left_are_named(state):
    os.chown(state.path, 4321, 4321)
    for number in range(5):
        (state.path / f"segment-{number}").write_bytes(b"")
    found = the(storage.storage(state, 0), Verdict.WRONG)
    assert "and 2 more" in found.sentence
    assert found.remedy == f"chown -R 4321: {state.path}"


@pytest.mark.parametrize("where", ["models", "models/journals/digits.json"])
def test_what_its_own_user_may_not_write_is_wrong(state, where):
    state.journals.mkdir(parents=True)
    (state.journals / "digits.json").write_bytes(b"")
    assert not [one for one in storage.storage(state, 0) if one.verdict is Verdict.WRONG]
    (state.path / where).chmod(0o500)
    found = the(storage.storage(state, 0), Verdict.WRONG)
    assert Path(where).name in found.sentence
    assert found.remedy == f"chmod -R u+rwX {state.path}"
    (state.path / where).chmod(0o700)


def test_the_room_that_the_agent_may_still_take_is_what_the_config_allows_without_what_it_has(state):
    def says(*most: int) -> str:
        return next(one.sentence for one in storage.storage(state, *most) if one.about == "disk")

    mebibyte = 1024 * 1024
    assert "may use 64 MiB more" in says(32 * mebibyte, 32 * mebibyte)
    assert "may use 288 MiB more" in says(32 * mebibyte)
    for folder in (state.spool / "windows", state.artifacts):
        folder.mkdir(parents=True)
        (folder / "1").write_bytes(b"x" * mebibyte)
    assert "may use 62 MiB more" in says(32 * mebibyte, 32 * mebibyte)
    assert "may use 31 MiB more" in says(32 * mebibyte, 1)
    assert "may use 95 MiB more" in says(32 * mebibyte, 1, 64 * mebibyte)
    state.captures.mkdir()
    (state.captures / "1").write_bytes(b"x" * mebibyte)
    assert "may use 94 MiB more" in says(32 * mebibyte, 1, 64 * mebibyte)
    assert the(storage.storage(state, 0, 1 << 50), Verdict.WARNING).about == "disk"


def test_a_full_disk_a_tight_one_and_one_without_inodes_are_told_apart(state, monkeypatch):
    disk = os.statvfs(state.path)

    def like(**changes: int) -> Verdict:
        values = {name: getattr(disk, name) for name in dir(disk) if name.startswith("f_")} | changes
        monkeypatch.setattr(storage.os, "statvfs", lambda _: type("Disk", (), values))
        return max(
            (one.verdict for one in storage.storage(state, 1 << 30) if one.about == "disk"), key=list(Verdict).index
        )

    room = {"f_frsize": 4096, "f_bavail": 1 << 30, "f_files": 1 << 20, "f_favail": 1 << 20, "f_flag": 0}
    assert like(**room) in (Verdict.OK, Verdict.WARNING)
    assert like(**{**room, "f_bavail": 100}) is Verdict.WRONG
    # An update of a small model fits into this.
    assert like(**{**room, "f_bavail": (1 << 25) // 4096}) is Verdict.WARNING
    assert like(**{**room, "f_bavail": (1 << 29) // 4096}) is Verdict.WARNING
    assert like(**{**room, "f_favail": 10}) is Verdict.WRONG
    assert like(**{**room, "f_flag": os.ST_RDONLY}) is Verdict.WRONG


def test_a_disk_that_forgets_is_told_of(state, tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/sda / ext4 rw 0 0\ntmpfs {state.path.parent} tmpfs rw 0 0\nnone /else\\040where ext4 rw 0 0\n"
    )
    assert "tmpfs" in the(storage.storage(state, 0, mounts=mounts), Verdict.WARNING).sentence
    mounts.write_text(f"tmpfs / tmpfs rw 0 0\n/dev/sda {state.path.parent} ext4 rw 0 0\n")
    assert not [one for one in storage.storage(state, 0, mounts=mounts) if one.verdict is Verdict.WARNING]


# Who the device is.


def test_a_valid_certificate_is_fine_and_then_runs_out(state):
    who = joined(state)
    assert the(trust.certificate(who, state, NOW + timedelta(minutes=1)), Verdict.OK)
    end = x509.load_pem_x509_certificate(who.certificate.encode()).not_valid_after_utc
    assert "expires on" in the(trust.certificate(who, state, end - timedelta(days=5)), Verdict.WARNING).sentence
    expired = the(trust.certificate(who, state, end), Verdict.WRONG)
    assert "expired" in expired.sentence
    assert expired.remedy.startswith("Set the clock right, if it is wrong.")
    assert "clock" in the(trust.certificate(who, state, NOW - timedelta(days=4000)), Verdict.WRONG).remedy


def test_a_certificate_is_judged_by_the_hubs_clock_where_that_is_known(state):
    who, far = joined(state), NOW + timedelta(days=365 * 40)
    assert the(trust.certificate(who, state, far, NOW + timedelta(minutes=1)), Verdict.OK)
    assert the(trust.certificate(who, state, NOW, far), Verdict.WRONG).remedy.startswith("Join again")


def test_a_certificate_for_another_key_a_damaged_one_and_none_are_wrong(state):
    who = joined(state)
    state.device_key.unlink()
    assert "cannot be read" in the(trust.certificate(who, state, NOW), Verdict.WRONG).sentence
    device_key(state)
    assert "another key" in the(trust.certificate(who, state, NOW), Verdict.WRONG).sentence
    for certificate in ("", "nonsense"):
        assert the(trust.certificate(msgspec.structs.replace(who, certificate=certificate), state, NOW), Verdict.WRONG)


@pytest.mark.parametrize(
    ("off", "verdict", "words"),
    [
        (timedelta(seconds=2), Verdict.OK, "as the hub's"),
        (timedelta(minutes=5), Verdict.WRONG, "300 s ahead of"),
        (timedelta(days=-3), Verdict.WRONG, "3 days behind"),
        (timedelta(days=365.25 * -56), Verdict.WRONG, "56 years behind"),
    ],
)
def test_the_clock_is_held_against_the_hubs(state, off, verdict, words):
    found = trust.clock(joined(state), NOW + off, NOW)
    assert found.verdict is verdict
    assert words in found.sentence


def test_without_a_hub_a_clock_from_before_the_device_joined_is_wrong(state):
    who = joined(state)
    assert trust.clock(who, NOW - timedelta(days=9000), None).verdict is Verdict.WRONG
    assert trust.clock(who, NOW, None).verdict is Verdict.UNKNOWN
    assert trust.clock(None, NOW, None).verdict is Verdict.UNKNOWN


# How far it gets.


def test_a_hub_that_answers_shows_its_clock(state):
    with fake_hub() as hub:
        hub.on("GET /healthz", Answer(b"ok\n"))
        seen = network.hub(joined(state, hub=hub.url))
        assert seen.finding.verdict is Verdict.OK
        assert abs(seen.clock - datetime.now(UTC)) < timedelta(seconds=30)
        hub.on("GET /healthz", Answer(b"", 502))
        assert "502" in network.hub(joined(state, hub=hub.url)).finding.sentence


def test_a_hub_that_is_away_is_wrong(state):
    seen = network.hub(joined(state, hub="http://127.0.0.1:1"))
    assert seen.finding.verdict is Verdict.WRONG
    assert seen.clock is None


@contextmanager
def https(folder: Path, now: datetime, date: str) -> Iterator[str]:
    """A hub whose certificate, of the fleet's authority, is valid around `now`, and whose clock shows `date`."""
    context = server_context(folder, AUTHORITY, now, clients=False)

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            # A device that trusts nobody hangs up.
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1000)
                secured.sendall(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def test_a_hub_over_https_is_trusted_as_its_artifacts_are(tmp_path, state):
    with https(tmp_path, NOW, "Fri, 27 Nov 2026 14:00:00 -0000") as url:
        seen = network.hub(joined(state, hub=url))
    assert seen.finding.verdict is Verdict.OK, seen.finding
    assert seen.clock == datetime(2026, 11, 27, 14, tzinfo=UTC)


def test_to_a_clock_that_is_wrong_no_certificate_is_right_and_the_hub_still_tells_the_time(tmp_path, state):
    with https(tmp_path, NOW + timedelta(days=9000), "Wed, 01 Jan 2053 00:00:00 GMT") as url:
        seen = network.hub(joined(state, hub=url))
    assert seen.finding.verdict is Verdict.WRONG
    assert "not yet valid" in seen.finding.sentence
    assert "clock" in seen.finding.remedy
    assert trust.clock(None, NOW, seen.clock).verdict is Verdict.WRONG


def test_a_broker_takes_the_device_unless_its_agent_is_connected_already(tmp_path, state):
    port = free_port()
    with rumqttd(tmp_path, port):
        who = joined(state, port=port)
        assert "takes the device" in the(network.broker(who, state), Verdict.OK).sentence
        state.lock()
        assert "the running agent's log" in the(network.broker(who, state), Verdict.OK).sentence
        state.unlock()


def test_a_broker_that_is_away_or_whose_name_leads_nowhere_is_wrong(state):
    assert "listens" in the(network.broker(joined(state), state), Verdict.WRONG).sentence
    for name in ("broker.invalid", "broker..none"):
        nowhere = msgspec.structs.replace(joined(state), broker=Broker(name, 1))
        assert "leads nowhere" in the(network.broker(nowhere, state), Verdict.WRONG).sentence


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A port where whoever connects gets `answer`, once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(60)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x20\x03\x00\x87\x00", "not allowed in"),
        (b"\x20\x03\x00\x84\x00", "does not speak MQTT 5"),
        (b"\x20\x03\x00\x99\x00", "reason 0x99"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak MQTT 5"),
        (b"", "does not speak MQTT 5"),
    ],
)
def test_a_broker_that_refuses_or_is_none_is_named(state, answer, words):
    with answering(answer) as port:
        assert words in the(network.broker(joined(state, port=port), state), Verdict.WRONG).sentence


def test_a_broker_over_tls_takes_the_device_by_its_certificate_and_nothing_is_written(tmp_path, state):
    port = free_port()
    who = joined(state)
    before = {path: path.stat().st_mtime_ns for path in state.path.rglob("*")}
    with rumqttd(tmp_path, port), tls_in_front_of(port, server_context(tmp_path, AUTHORITY, NOW)) as (front, names):
        who = msgspec.structs.replace(who, broker=Broker("127.0.0.1", front, tls=True))
        assert "takes the device" in the(network.broker(who, state), Verdict.OK).sentence
    assert names == ["press-1"]
    assert {path: path.stat().st_mtime_ns for path in state.path.rglob("*")} == before


@pytest.mark.parametrize("stranger", ["device", "broker"])
def test_a_broker_and_a_device_of_different_fleets_are_told_apart_from_one_that_is_no_broker(tmp_path, state, stranger):
    other = Authority.make("other")
    with tls_in_front_of(1, server_context(tmp_path, other, NOW)) as (front, _):
        who = msgspec.structs.replace(joined(state), broker=Broker("127.0.0.1", front, tls=True))
        if stranger == "device":
            who = msgspec.structs.replace(who, authority=other.certificate)
        found = the(network.broker(who, state), Verdict.WRONG)
    words = {"device": "does not take the device's certificate", "broker": "is not to be trusted"}
    assert words[stranger] in found.sentence


def test_a_broker_without_tls_where_tls_is_due_is_wrong(state):
    with answering(b"nonsense" * 10) as port:
        assert "TLS" in the(network.broker(joined(state, port=port, tls=True), state), Verdict.WRONG).sentence


@pytest.mark.parametrize("device", ["g", "g" * 200])
def test_what_greets_a_broker_is_mqtt_5(device):
    packet = network._connect(device)
    assert packet[0] == 0x10
    length, used = packet[1] & 0x7F, 2
    if packet[1] & 0x80:
        length, used = length + packet[2] * 128, 3
    assert len(packet) == used + length
    assert packet.endswith(device.encode())


def test_a_key_that_does_not_fit_is_told_of_and_nothing_is_written(state):
    who = joined(state, tls=True)
    state.device_key.unlink()
    device_key(state)
    before = {path: path.stat().st_mtime_ns for path in state.path.rglob("*")}
    with answering(b"") as port:
        who = msgspec.structs.replace(who, broker=Broker("127.0.0.1", port, tls=True))
        found = the(network.broker(who, state), Verdict.WRONG)
    assert "cannot be used" in found.sentence
    assert "Join again" in found.remedy
    assert {path: path.stat().st_mtime_ns for path in state.path.rglob("*")} == before


# What computes.


def test_the_runtimes_that_are_installed_load():
    findings, built = hardware.runtimes()
    assert any("onnxruntime" in one.sentence and one.verdict is Verdict.OK for one in findings)
    assert "CPUExecutionProvider" in built


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "this CPU does not have an instruction"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("raise ImportError('libcudart.so.12: no such file')", "libcudart.so.12"),
    ],
)
def test_a_runtime_that_does_not_load_is_named_with_its_reason_and_ends_nobody_else(monkeypatch, code, words):
    monkeypatch.setitem(hardware._TRIES, "onnxruntime", code)
    findings, built = hardware.runtimes()
    assert words in next(one for one in findings if one.verdict is Verdict.WRONG).sentence
    assert built == ()


def test_an_accelerator_is_used_unused_or_locked(tmp_path):
    (tmp_path / "dev").mkdir()
    assert the(hardware.hardware((), tmp_path), Verdict.OK).sentence.startswith("None")
    (tmp_path / "dev" / "nvidia0").touch()
    assert "nothing that is installed" in the(hardware.hardware((), tmp_path), Verdict.WARNING).sentence
    assert "CUDA" in the(hardware.hardware(("CUDAExecutionProvider",), tmp_path), Verdict.OK).sentence


def test_an_accelerator_that_the_user_may_not_use_is_told_of(tmp_path, monkeypatch):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setattr(hardware.os, "access", lambda *_: False)
    assert "SupplementaryGroups" in the(hardware.hardware((), tmp_path), Verdict.WARNING).remedy


def test_sources_that_lack_what_they_read_are_named(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "replay.npz").touch()
    settings = (
        Replay("digits", tmp_path / "replay.npz"),
        Replay("digits", tmp_path / "none.npz"),
        Folder("digits", tmp_path / "in"),
        Folder("digits", tmp_path / "none"),
        Camera("digits", "/dev/video-none"),
        Camera("digits", "rtsp://camera/1"),
        Mqtt("digits", "line/1"),
    )
    verdicts = [one.verdict for one in hardware.sources(settings)]
    expected = [Verdict.OK, Verdict.WRONG, Verdict.OK, Verdict.WRONG, Verdict.WRONG, Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert verdicts == expected


# What runs it.


@pytest.mark.parametrize(
    ("said", "verdicts"),
    [
        ("LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNRestarts=0\nUser=vedette", ["ok"]),
        ("LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNRestarts=9", ["warning"]),
        ("LoadState=loaded\nActiveState=active\nUnitFileState=disabled\nNRestarts=0", ["ok", "warning"]),
        ("LoadState=loaded\nActiveState=failed\nUnitFileState=enabled\nResult=watchdog", ["wrong"]),
        ("LoadState=not-found", ["warning"]),
        ("", ["warning"]),
    ],
)
def test_the_service_is_as_systemd_says(tmp_path, monkeypatch, said, verdicts):
    monkeypatch.setattr(service.shutil, "which", lambda _: "/bin/systemctl")
    monkeypatch.setattr(service.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess((), 0, said, ""))
    assert [one.verdict for one in service.service(tmp_path)] == verdicts


def test_without_systemd_something_else_must_start_the_agent(tmp_path):
    assert the(service.service(tmp_path / "none"), Verdict.UNKNOWN)


# And how it is told.


def test_a_person_reads_what_is_wrong_and_below_it_what_to_do(state, tmp_path):
    text = told(
        [Finding("disk", Verdict.WRONG, "It is full.", "Make room."), Finding("clock", Verdict.OK, "It is noon.")]
    )
    assert text == "WRONG  disk   It is full.\n              -> Make room.\nok     clock  It is noon.\n\n1 wrong\n"
    assert told([Finding("clock", Verdict.OK, "It is noon.")]).endswith("Nothing is wrong.\n")

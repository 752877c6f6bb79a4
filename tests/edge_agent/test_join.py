"""Joining: the key never leaves the device, the answer is checked, and a lost one can be asked for again."""

import errno
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge_agent import cli, identity
from edge_agent import state as state_module
from edge_agent.capture.store import Captures
from edge_agent.errors import HubUnreachable, JoinRefused, NotJoined, StateLocked, StateUnusable
from edge_agent.join import device_key, join
from edge_agent.state import StateFolder
from fleet_contract.encoding import decode, encode
from fleet_contract.errors import SignatureWrong
from fleet_contract.join import Broker, Identity, JoinRequest, JoinToken
from fleet_contract.signing import PrivateKey, sign
from provisioning.pki import Authority, Request
from tests.edge_agent.capture.records import an_about
from tests.fakes.rumqttd import free_port
from tests.fakes.sessions import an_image

HUB_KEY, RELEASE_KEY = PrivateKey(b"h" * 32), PrivateKey(b"r" * 32)


@dataclass
class FakeHub:
    """Answers joins over HTTP as the hub does, unless `instead` has an answer: status, type and body."""

    authority: Authority = field(default_factory=lambda: Authority.make("default"))
    requests: list[JoinRequest] = field(default_factory=list)
    instead: tuple[int, bytes] | None = None
    signer: PrivateKey = HUB_KEY
    release: PrivateKey = RELEASE_KEY
    url: str = ""

    @property
    def token(self) -> JoinToken:
        return JoinToken(self.url, HUB_KEY.public.fingerprint, RELEASE_KEY.public.fingerprint, "s3cret")

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self.instead is not None:
            return self.instead
        assert path == "/api/v1/join"
        request = decode(body, JoinRequest)
        self.requests.append(request)
        now = datetime.now(UTC)
        who = Identity(
            fleet="default",
            device="press-1",
            hub=self.url,
            broker=Broker("127.0.0.1", 8421),
            hub_keys=(self.signer.public,),
            release_keys=(self.release.public,),
            certificate=self.authority.sign_device(Request(request.certificate_request), "press-1", now),
            authority=self.authority.certificate,
            target=request.target,
            issued_at=now,
        )
        return 200, encode(sign("join", who, self.signer))


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    fake = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = fake.answer(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            if status in (301, 307):
                self.send_header("Location", fake.url + "/api/v1/join")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def state(tmp_path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    return folder


def test_a_device_gets_the_identity_that_its_token_promises(hub, state):
    joined = join(state, hub.token, "cpu-vnni")
    identity.save(state, joined)
    assert identity.load(state) == joined
    assert (joined.device, joined.target) == ("press-1", "cpu-vnni")
    assert hub.requests[0].secret == "s3cret"
    assert hub.requests[0].inventory.cores >= 1


def test_what_is_secret_is_readable_by_its_owner_only(hub, state):
    identity.save(state, join(state, hub.token, "cpu-vnni"))
    assert {path.stat().st_mode & 0o777 for path in (state.device_key, state.identity)} == {0o600}
    assert state.path.stat().st_mode & 0o777 == 0o700


def test_the_key_does_not_leave_the_device(hub, state):
    join(state, hub.token, "cpu-vnni")
    assert b"PRIVATE KEY" in state.device_key.read_bytes()
    assert "PRIVATE KEY" not in encode(hub.requests[0]).decode()


def test_a_lost_answer_is_asked_for_again_with_the_same_key(hub, state):
    hub.instead = (502, b"<html>Bad gateway</html>")
    with pytest.raises(JoinRefused, match="answered 502"):
        join(state, hub.token, "cpu-vnni")
    key = state.device_key.read_bytes()
    hub.instead = None
    join(state, hub.token, "cpu-vnni")
    assert state.device_key.read_bytes() == key


def test_the_hubs_refusal_is_told_with_its_code_and_remedy(hub, state):
    problem = {"title": "Forbidden", "detail": "The token was used.", "code": "token-used", "remedy": "Make another."}
    hub.instead = (403, json.dumps(problem).encode())
    with pytest.raises(JoinRefused) as caught:
        join(state, hub.token, "cpu-vnni")
    assert (caught.value.what, caught.value.code, caught.value.remedy) == (
        "The token was used.",
        "token-used",
        "Make another.",
    )


def test_a_hub_that_the_token_does_not_name_is_refused(hub, state):
    hub.signer = PrivateKey(b"x" * 32)
    with pytest.raises(SignatureWrong):
        join(state, hub.token, "cpu-vnni")


def test_another_release_key_than_the_tokens_is_refused(hub, state):
    hub.release = PrivateKey(b"x" * 32)
    with pytest.raises(SignatureWrong, match="release key"):
        join(state, hub.token, "cpu-vnni")


def test_a_certificate_for_another_key_is_refused(hub, state, tmp_path):
    other = StateFolder(tmp_path / "other")
    other.create()
    real = hub.answer
    join(other, hub.token, "cpu-vnni")
    swapped = hub.requests[0].certificate_request

    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        request = json.loads(body) | {"certificate_request": swapped}
        return real(path, json.dumps(request).encode())

    hub.answer = answer
    with pytest.raises(JoinRefused, match="another key"):
        join(state, hub.token, "cpu-vnni")


def test_the_secret_is_not_carried_to_where_the_hub_redirects(hub, state):
    hub.instead = (307, b"")
    with pytest.raises(JoinRefused, match="answered 307"):
        join(state, hub.token, "cpu-vnni")
    assert hub.requests == []


def test_an_answer_without_end_is_given_up(hub, state):
    hub.instead = (200, b" " * 200_000)
    with pytest.raises(JoinRefused, match="no Vedette hub"):
        join(state, hub.token, "cpu-vnni")


def test_a_hub_that_is_down_is_said_to_be_down(state):
    token = JoinToken(f"http://127.0.0.1:{free_port()}", "0" * 64, "0" * 64, "s3cret")
    with pytest.raises(HubUnreachable, match="the token is still good"):
        join(state, token, "cpu-vnni")


@pytest.mark.parametrize(
    "content", [b"", b"not PEM", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_an_error_and_not_silently_replaced(state, content):
    state.device_key.write_bytes(content)
    with pytest.raises(StateUnusable, match=r"device\.key"):
        device_key(state)
    assert state.device_key.read_bytes() == content


def test_a_device_that_has_not_joined_is_told_how(state):
    with pytest.raises(NotJoined, match="vedette-agent join TOKEN"):
        identity.load(state)


def test_a_damaged_identity_is_told_apart(state):
    state.identity.write_bytes(b"{")
    with pytest.raises(StateUnusable, match="Join again"):
        identity.load(state)


def test_a_state_folder_takes_one_agent(tmp_path):
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    assert not first.locked()
    first.lock()
    assert second.locked()
    with pytest.raises(StateLocked, match=r"Another agent \(process \d+\) runs"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_state_folder_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnusable, match="--state"):
        StateFolder(tmp_path / "file" / "state").lock()


def config_in(folder: Path) -> Path:
    path = folder / "agent.toml"
    path.write_text('state_dir = "state"\n')
    return path


def test_the_command_joins_and_says_what_is_next(hub, tmp_path, capsys):
    config = config_in(tmp_path)
    assert cli.main(["join", str(hub.token), "--config", str(config), "--target", "cpu-avx2"]) == 0
    said = capsys.readouterr().out
    assert "Joined fleet default as press-1, target cpu-avx2." in said
    assert f"Next: vedette-agent run --config {config}" in said
    assert identity.load(StateFolder(tmp_path / "state")).device == "press-1"


def test_joining_without_a_config_says_what_the_config_needs(hub, tmp_path, capsys):
    assert cli.main(["join", str(hub.token), "--state", str(tmp_path / "s")]) == 0
    assert f'state_dir = "{tmp_path}/s"' in capsys.readouterr().out


def test_an_error_is_one_sentence_its_code_and_what_to_do(tmp_path, capsys):
    assert cli.main(["join", "vdt1.cut", "--state", str(tmp_path / "s")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].endswith("[token-wrong]")
    assert "vedette devices token" in said[1]


def test_running_or_looking_before_joining_says_how_to_join(tmp_path, capsys):
    for command in ("run", "status"):
        assert cli.main([command, "--config", str(config_in(tmp_path))]) == 1
        assert "vedette-agent join TOKEN" in capsys.readouterr().err


def test_status_tells_what_is_on_disk(hub, tmp_path, capsys):
    config = config_in(tmp_path)
    cli.main(["join", str(hub.token), "--config", str(config), "--target", "cpu-avx2"])
    capsys.readouterr()
    assert cli.main(["status", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    assert "Device  press-1 of fleet default, target cpu-avx2" in said
    assert "Spool   0 windows, 0 events and 0 samples wait for the hub" in said
    assert "Models  none yet" in said


def test_status_tells_how_many_inputs_are_kept(hub, tmp_path, capsys):
    config = config_in(tmp_path)
    cli.main(["join", str(hub.token), "--config", str(config)])
    capsys.readouterr()
    cli.main(["status", "--config", str(config)])
    assert "kept for the next version" not in capsys.readouterr().out, "nothing is captured"
    folder = tmp_path / "state" / "captures"
    captures = Captures(folder, 1 << 20, leave_bytes=0)
    for number in range(3):
        captures.keep(an_about(number), an_image())
    cli.main(["status", "--config", str(config)])
    assert "Inputs  3 kept for the next version, 12,288 bytes" in capsys.readouterr().out
    config.write_text(config.read_text() + "[capture]\nmax_bytes = 1_048_576\n")
    cli.main(["status", "--config", str(config)])
    assert "Inputs  3 kept for the next version, 12,288 of 1,048,576 bytes" in capsys.readouterr().out


def test_a_full_disk_keeps_no_agent_from_its_folder(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state_module.os, "pwrite", full)
    state = StateFolder(tmp_path)
    state.lock()
    assert state.locked()
    state.unlock()

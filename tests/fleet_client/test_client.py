"""The SDK against a hub's API over a real socket."""

import socket
import threading
import time
from pathlib import Path

import pytest

from fleet_client import Client
from fleet_client.errors import AnswerWrong, HubAddressWrong, HubRefused, HubUnreachable
from tests.fakes.hub import Answer, Asked, FakeHub, problem
from tests.fleet_client.documents import because, device, page, rollout, version


@pytest.fixture
def client(hub: FakeHub) -> Client:
    return Client(hub.url)


def test_devices_are_typed_and_what_a_newer_hub_adds_is_ignored(hub: FakeHub, client: Client) -> None:
    hub.on("GET /api/v1/devices/press-07", device(invented_later={"a": [1]}))
    one = client.devices.get("press-07")
    assert one.labels == {"site": "lyon"}
    model = one.model("digits")
    assert model is not None
    assert model.running is not None
    assert model.running.version == 2
    assert one.model("other") is None


def test_all_pages_are_asked_for_one_after_the_other_and_only_when_needed(hub: FakeHub, client: Client) -> None:
    def pages(asked: Asked) -> Answer:
        if "cursor" in asked.query:
            return Answer(page(device("c"), total=3))
        return Answer(page(device("a"), device("b"), total=3, next_cursor="after b"))

    hub.on("GET /api/v1/devices", pages)
    devices = client.devices.all(labels={"site": "lyon", "line": "3"}, target="cpu-vnni")
    assert next(devices).id == "a"
    assert len(hub.asked) == 1
    assert [one.id for one in devices] == ["b", "c"]
    first, second = hub.asked
    assert first.query == {"label": ["site=lyon", "line=3"], "target": ["cpu-vnni"], "limit": ["500"]}
    assert second.query == {**first.query, "cursor": ["after b"]}


def test_a_create_whose_answer_is_lost_is_sent_again_under_the_same_name(hub: FakeHub, client: Client) -> None:
    answers = iter([Answer(b"", 201, owed=10, breaks=True), Answer(rollout(), 201)])
    hub.on("POST /api/v1/rollouts", lambda _: next(answers))
    assert client.rollouts.create("digits", 2).id == "digits-v2-0a1b2c"
    first, second = hub.asked
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


def test_a_verb_whose_answer_is_lost_is_not_sent_again(hub: FakeHub, client: Client) -> None:
    hub.on("POST /api/v1/rollouts/r1/pause", Answer(b"", 200, owed=10, breaks=True))
    with pytest.raises(HubUnreachable):
        client.rollouts.pause("r1")
    assert len(hub.asked) == 1


ASKED = {
    "/api/v1/lake/query": lambda client: client.lake.query("SELECT 1"),
    "/api/v1/rollouts/preview": lambda client: client.rollouts.preview("digits", 2),
    "/api/v1/manifests/diff": lambda client: client.manifests.diff([]),
}


@pytest.mark.parametrize("path", ASKED)
def test_a_question_whose_answer_is_lost_is_asked_again(hub: FakeHub, client: Client, path: str) -> None:
    hub.on(f"POST {path}", Answer(b"", 200, owed=10, breaks=True))
    with pytest.raises(HubUnreachable):
        ASKED[path](client)
    assert len(hub.asked) == 2
    assert hub.asked[0].body == hub.asked[1].body


def test_a_problem_becomes_an_error_with_the_hubs_code_words_and_remedy(hub: FakeHub, client: Client) -> None:
    hub.on("POST /api/v1/rollouts", problem(422, "artifact-missing", "No artifact for cpu-avx2.", "Build one."))
    with pytest.raises(HubRefused) as refused:
        client.rollouts.create("digits", 2)
    assert (refused.value.code, refused.value.status) == ("artifact-missing", 422)
    assert (refused.value.what, refused.value.remedy) == ("No artifact for cpu-avx2.", "Build one.")


def test_a_missing_token_says_which_variable_to_set(hub: FakeHub, client: Client) -> None:
    hub.on("GET /api/v1/health", problem(401, "unauthorized", "This hub asks for an API token."))
    with pytest.raises(HubRefused, match="VEDETTE_API_TOKEN"):
        client.health()


def test_the_token_goes_with_every_request(hub: FakeHub) -> None:
    hub.on("GET /api/v1/devices/press-07", device())
    hub.on("PATCH /api/v1/devices/press-07", device())
    client = Client(hub.url, token="a long secret")
    client.devices.get("press-07")
    client.devices.label("press-07", {"site": None})
    assert [one.headers["Authorization"] for one in hub.asked] == ["Bearer a long secret"] * 2


def test_the_token_never_follows_a_redirect(hub: FakeHub) -> None:
    hub.on("GET /api/v1/health", Answer(b"", 302, headers={"Location": f"{hub.url}/elsewhere"}))
    with pytest.raises((AnswerWrong, HubUnreachable)):
        Client(hub.url, token="a long secret").health()
    assert len(hub.asked) == 1


def test_nobody_there_says_how_to_start_a_hub_or_name_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(HubUnreachable) as unreachable:
            Client(url).health()
    assert url in unreachable.value.what
    assert "refused" in unreachable.value.what
    assert all(word in unreachable.value.remedy for word in ("vedette hub", "--hub", "VEDETTE_HUB"))


def test_a_hub_that_hangs_is_given_up(hub: FakeHub) -> None:
    let_go = threading.Event()

    def hang(_: Asked) -> Answer:
        let_go.wait(5)
        return Answer({})

    hub.on("POST /api/v1/lake/query", hang)
    with pytest.raises(HubUnreachable, match="timed out"):
        Client(hub.url, timeout_seconds=0.2).lake.query("SELECT 1")
    let_go.set()
    assert len(hub.asked) == 1, "what takes long is not at work twice"


@pytest.mark.parametrize("body", [b"<html>It works!</html>", b'{"status": 5}', b"\xff\xfe"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_another_program_at_the_address_is_recognised(hub: FakeHub, client: Client, status: int, body: bytes) -> None:
    hub.on("GET /api/v1/health", Answer(body, status, "text/html"))
    with pytest.raises((AnswerWrong, HubRefused)) as wrong:
        client.health()
    assert hub.url in str(wrong.value) or str(status) in str(wrong.value)


@pytest.mark.parametrize("url", ["", "localhost", "ftp://hub", "http://", "http://hub/?a=b", "http://[::1"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(HubAddressWrong):
        Client(url)


def test_names_cannot_leave_their_place_in_the_path(hub: FakeHub, client: Client) -> None:
    with pytest.raises(HubRefused):
        client.devices.get("../models")
    assert hub.asked[0].path == "/api/v1/devices/..%2Fmodels"


def test_an_upload_tells_how_far_it_is(hub: FakeHub, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "artifact.onnx"
    file.write_bytes(b"x" * 100_000)
    hub.on("PUT /api/v1/blobs/sha256:aa", Answer({"digest": "sha256:aa", "size_bytes": 100_000}, 201))
    seen: list[tuple[int, int]] = []
    client.blobs.upload(file, "sha256:aa", lambda sent, size: seen.append((sent, size)))
    assert hub.asked[0].body == file.read_bytes()
    assert seen[-1] == (100_000, 100_000)
    assert [sent for sent, _ in seen] == sorted(sent for sent, _ in seen)
    assert len(seen) > 1


def test_verbs_on_rollouts_carry_their_reason(hub: FakeHub, client: Client) -> None:
    for verb in ("pause", "resume", "abort"):
        hub.on(f"POST /api/v1/rollouts/r1/{verb}", rollout())
    client.rollouts.pause("r1", "lunch")
    client.rollouts.resume("r1")
    client.rollouts.abort("r1", "no")
    assert [one.json for one in hub.asked] == [{"reason": "lunch"}, {"reason": ""}, {"reason": "no"}]


def test_what_was_seen_goes_with_what_changes_it(hub: FakeHub, client: Client) -> None:
    hub.on("POST /api/v1/rollouts/r1/approve", problem(412, "stale", "It is at revision 8.", "Look again."))
    hub.on("PUT /api/v1/freeze", Answer({"frozen": True, "revision": 4}))
    with pytest.raises(HubRefused) as refused:
        client.rollouts.approve("r1", seen=7)
    assert (refused.value.code, refused.value.status) == ("stale", 412)
    assert client.freeze.on("An audit.", seen=3).revision == 4
    client.freeze.on("An audit.")
    assert [one.headers.get("If-Match") for one in hub.asked] == ['"7"', '"3"', None]


def test_a_token_is_asked_for_with_what_was_given_only(hub: FakeHub, client: Client) -> None:
    hub.on(
        "POST /api/v1/devices/tokens",
        Answer({"token": "vdt1.x", "device": None, "expires_at": "2026-11-23T20:00:00Z"}, 201),
    )
    assert client.devices.token(labels={"site": "lyon"}).token == "vdt1.x"
    assert hub.asked[0].json == {"labels": {"site": "lyon"}, "expires_in_seconds": 86_400}
    assert hub.asked[0].headers["Idempotency-Key"], "it can be sent again when the connection breaks"


def test_versions_and_decisions_are_typed(hub: FakeHub, client: Client) -> None:
    hub.on("GET /api/v1/models/digits/versions/1", version())
    hub.on(
        "GET /api/v1/rollouts/r1/decisions",
        page({"number": 1, "at": "2026-11-22T20:00:00Z", "state": "running", "wave": 0, "because": because()}),
    )
    assert client.models.version("digits", 1).artifacts[0].accuracy == 0.9796
    assert client.rollouts.decisions("r1").items[0].because.sentence == "All 5 are fine."


def test_a_watch_yields_on_every_change_and_opens_the_stream_again_when_it_ends(hub: FakeHub, client: Client) -> None:
    stream = b'event: changed\ndata: ["devices"]\n\n: still here\n\nevent: changed\ndata: ["devices"]\n\n'
    hub.on("GET /api/v1/events", Answer(stream, media_type="text/event-stream"))
    watch = client.watch(["devices", "models"])
    for _ in range(4):
        next(watch)
    streams = hub.asked_for("GET /api/v1/events")
    assert len(streams) == 2
    assert streams[0].query == {"subjects": ["devices,models"]}


def test_a_stream_that_falls_silent_yields_every_so_often(hub: FakeHub, client: Client) -> None:
    hub.on("GET /api/v1/events", Answer(b'data: ["devices"]\n\n', media_type="text/event-stream", owed=100))
    watch = client.watch(["devices"], at_least_every_seconds=0.3)
    next(watch)
    started = time.monotonic()
    next(watch)
    assert 0.2 < time.monotonic() - started < 60
    assert len(hub.asked) == 1, "silence alone does not ask the hub again"


def test_a_watch_of_a_hub_that_goes_says_so(hub: FakeHub, client: Client) -> None:
    hub.on("GET /api/v1/events", problem(503, "unavailable", "The hub is stopping.", "Try again."))
    with pytest.raises(HubRefused, match="stopping"):
        next(client.watch(["devices"]))

"""A connection serves a client that behaves, and costs nobody else anything when one does not."""

import gzip
import json
import os
import resource
import socket
import stat
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_agent.serving import budget
from edge_agent.serving.http import connection as connections
from edge_agent.serving.http import crowd as crowds
from edge_agent.serving.http import inbox as inboxes
from edge_agent.serving.http import server as servers
from edge_agent.serving.http import turned_away
from edge_agent.serving.http.listener import PlaceTaken, tcp, unix
from tests.fakes.engine import FakeEngine, image_model
from tests.fakes.waiting import until
from tests.fakes.wire import Wire, request, served

LIVE = request("GET", "/v2/health/live")
INFER = request(
    "POST",
    "/v2/models/digits/infer",
    json.dumps({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}).encode(),
)


@pytest.fixture
def engine():
    return image_model()


@pytest.fixture
def server(engine, tmp_path):
    with served(engine, tmp_path, connections_max=4, body_max_bytes=100_000, bodies_max_bytes=400_000) as running:
        yield running


def test_requests_may_be_sent_before_the_answers_to_those_before(server):
    wire = server.wire()
    wire.send(LIVE * 50 + INFER + LIVE)
    assert [wire.reply().status for _ in range(52)] == [200] * 52


def test_answers_of_other_threads_come_in_the_order_of_the_requests(server, engine):
    engine.later = True
    wire = server.wire()
    wire.send((INFER + LIVE) * 30)
    for _ in range(30):
        assert "outputs" in wire.reply().json
        assert wire.reply().json == {"live": True}


def test_what_comes_in_the_moment_of_an_answer_is_not_left_lying(server, engine, monkeypatch):
    wait = connections.Connection._wait

    def answered_first(connection, events):
        # The worker's last step falls between the loop's look at whether it is done and its note that more came.
        engine.held.pop()()
        wait(connection, events)

    monkeypatch.setattr(connections.Connection, "_wait", answered_first)
    engine.holds = True
    wire = server.wire()
    wire.send(INFER)
    until(lambda: engine.held)
    wire.send(LIVE)
    assert wire.reply().json["model_name"] == "digits"
    assert wire.reply().json == {"live": True}


def test_a_chunked_request_is_followed_by_the_next(server):
    wire = server.wire()
    head, _, body = INFER.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:30], body[30:]))
    wire.send(b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]) + chunks + b"0\r\n\r\n" + LIVE)
    assert wire.reply().json["model_name"] == "digits"
    assert wire.reply().json == {"live": True}


def test_who_asks_before_sending_a_body_is_told_to_go_on(server):
    wire = server.wire()
    head, _, body = INFER.partition(b"\r\n\r\n")
    wire.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert wire.reply().status == 100
    wire.send(body)
    assert wire.reply().status == 200
    wire.send(head.replace(b"Content-Length: ", b"Content-Length: 9999999") + b"\r\nExpect: 100-continue\r\n\r\n")
    assert wire.reply().status == 413


@pytest.mark.parametrize("line", ["Connection: close", None])
def test_a_connection_ends_when_its_client_says_so(server, line):
    wire = server.wire()
    wire.send(request("GET", "/v2", b"", line) if line else b"GET /v2 HTTP/1.0\r\n\r\n")
    assert wire.reply().fields["connection"] == "close"
    assert wire.ended


def test_who_has_sent_all_may_close_that_side(server, engine):
    engine.later = True
    wire = server.wire()
    wire.send(INFER)
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.reply().status == 200
    assert wire.ended


@pytest.mark.parametrize("later", [False, True], ids=["answered at once", "answered later"])
def test_who_has_sent_all_gets_each_answer(server, engine, later):
    engine.later = later
    for _ in range(20):
        wire = server.wire()
        wire.send(INFER * 3 + LIVE[:-2])
        wire.socket.shutdown(socket.SHUT_WR)
        assert [wire.reply().status for _ in range(3)] == [200] * 3
        assert wire.ended


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (
            request("POST", "/v2/models/digits/infer", b"x", "Content-Length: 99999999").replace(
                b"h: 1\r", b"h: 99999999\r"
            ),
            413,
        ),
        (request("POST", "/v2/models/digits/infer", bytes(200_000)), 413),
        (request("POST", "/v2", b"x", "Content-Encoding: br"), 415),
    ],
)
def test_what_cannot_be_followed_is_told_why_and_ended(server, raw, status):
    wire = server.wire()
    wire.send(raw)
    reply = wire.reply()
    assert (reply.status, reply.fields["connection"]) == (status, "close")
    assert reply.error
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.ended


def test_a_head_that_drips_is_ended(server, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    wire = server.wire()
    for byte in LIVE[:10]:
        wire.send(bytes([byte]))
        time.sleep(0.02)
    assert wire.reply().status == 408


def test_a_body_that_does_not_come_is_ended_and_its_memory_free(server, monkeypatch):
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.3)
    for _ in range(2):
        # As much as may arrive at once, again and again.
        wires = [server.wire() for _ in range(4)]
        for wire in wires:
            wire.send(request("POST", "/v2/models/digits/infer", bytes(99_000))[:-10])
        assert {wire.reply().status for wire in wires} == {408}
        for wire in wires:
            wire.close()


def test_bodies_take_no_more_memory_than_they_may(engine, tmp_path):
    with served(engine, tmp_path, body_max_bytes=100_000, bodies_max_bytes=400_000, connections_max=16) as server:
        head = request("POST", "/v2/models/digits/infer", bytes(100_000))[:-100_000]
        waiting = [server.wire() for _ in range(4)]
        for wire in waiting:
            wire.send(head)
        until(lambda: all(not one.idle for one in server.server._connections))
        more = server.wire()
        more.send(head)
        reply = more.reply()
        assert (reply.status, reply.fields["retry-after"]) == (503, "1")
        small = server.wire()
        small.send(INFER[:-10])
        until(lambda: sum(not one.idle for one in list(server.server._connections)) > 4)
        small.send(INFER[-10:])
        assert small.reply().status == 200, "however it arrives"
        waiting[0].send(bytes(100_000))
        assert waiting[0].reply().status == 400
        again = server.wire()
        again.send(head + bytes(100_000))
        assert again.reply().status == 400


def test_a_body_in_chunks_takes_what_has_come_of_it(engine, tmp_path):
    lines = [b"POST /v2/models/digits/infer HTTP/1.1", b"Host: localhost", b"Transfer-Encoding: chunked", b"", b""]
    content = json.loads(INFER.partition(b"\r\n\r\n")[2])
    large = json.dumps({**content, "id": "x" * 60_000}).encode()
    with served(engine, tmp_path, body_max_bytes=100_000, bodies_max_bytes=100_000) as server:
        for _ in range(3):
            waiting = []
            for _ in range(5):
                waiting.append(server.wire())
                waiting[-1].send(b"\r\n".join(lines) + b"%x\r\n%s" % (len(large), large[:100]))
            until(lambda: sum(not one.idle for one in list(server.server._connections)) == 5)
            waiting[0].send(large[100:] + b"\r\n")
            until(lambda: server.server.held_bytes > 60_000)
            waiting[1].send(large[100:] + b"\r\n0\r\n\r\n")
            refused = waiting[1].reply()
            assert (refused.status, refused.json["code"]) == (503, "overloaded")
            waiting[0].send(b"0\r\n\r\n")
            assert waiting[0].reply().status == 200
            waiting[2].send(large[100:] + b"\r\n0\r\n\r\n")
            assert waiting[2].reply().status == 200
            for one in waiting:
                one.close()
            until(lambda: not server.server._connections)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_compressed_body_takes_what_it_unpacks_to_until_it_is_answered(engine, tmp_path, at_once):
    content = json.loads(INFER.partition(b"\r\n\r\n")[2])
    packed = gzip.compress(json.dumps({**content, "id": "x" * 60_000}).encode())
    message = request("POST", "/v2/models/digits/infer", packed, "Content-Encoding: gzip")
    engine.holds = True
    with served(engine, tmp_path, body_max_bytes=100_000, bodies_max_bytes=100_000) as server:

        def ask() -> Wire:
            wire = server.wire()
            if at_once:
                wire.send(message)
            else:
                wire.send(message[:-10])
                until(lambda: sum(not one.idle for one in list(server.server._connections)) > len(engine.held))
                wire.send(message[-10:])
            return wire

        first = ask()
        until(lambda: engine.held)
        refused = ask().reply()
        assert (refused.status, refused.json["code"]) == (503, "overloaded")
        engine.holds = False
        engine.held[0]()
        assert first.reply().status == 200
        for _ in range(3):
            assert ask().reply().status == 200


def test_a_body_that_can_never_be_taken_is_told_what_to_do(server):
    wire = server.wire()
    wire.send(request("POST", "/v2/models/digits/infer", bytes(200_000))[:-200_000])
    reply = wire.reply()
    assert (reply.status, reply.json["code"]) == (413, "body-too-large")
    assert "has 200000 bytes, and 100000 may be. Send less at once, or set serving.body_max_bytes" in reply.error


def test_a_body_that_the_device_has_not_the_memory_for_now_is_to_come_again(engine, tmp_path, monkeypatch):
    size = 5_000_000
    with served(engine, tmp_path, body_max_bytes=size, bodies_max_bytes=size) as server:
        for left, status in ((0, 503), (1 << 30, 400)):
            monkeypatch.setattr(budget, "left_bytes", lambda _, left=left: left)
            wire = server.wire()
            wire.send(request("POST", "/v2/models/digits/infer", bytes(size))[:-size])
            if status == 400:
                wire.send(bytes(size))
            reply = wire.reply()
            assert reply.status == status
            if status == 503:
                assert (reply.fields["retry-after"], reply.json["code"]) == ("10", "overloaded")
                assert f"0 bytes of memory are left here, too few for a body of {size}" in reply.error


def test_what_a_body_holds_is_what_has_arrived_of_it_until_it_is_answered(server, engine):
    engine.holds = True
    content = json.loads(INFER.partition(b"\r\n\r\n")[2])
    whole = request("POST", "/v2/models/digits/infer", json.dumps({**content, "id": "x" * 60_000}).encode())
    wire = server.wire()
    wire.send(whole[:-60_000])
    until(lambda: server.server._connections and not next(iter(server.server._connections)).idle)
    assert server.server.held_bytes < 1000, "which is not what it says that it will have"
    wire.send(whole[-60_000:-10_000])
    until(lambda: server.server.held_bytes > 50_000)
    wire.send(whole[-10_000:])
    until(lambda: engine.held)
    assert 60_000 <= server.server.held_bytes < 61_000
    engine.held.pop()()
    assert wire.reply().status == 200
    until(lambda: server.server.held_bytes == 0)


def test_of_a_body_in_chunks_no_more_is_held_than_there_was(server, engine):
    engine.holds = True
    head, _, body = INFER.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    asks = b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)])
    for _ in range(4):
        server.wire().send(asks)
    until(lambda: len(engine.held) == 4)
    assert server.server.held_bytes == 4 * len(body)


def test_an_answer_is_held_until_its_client_has_taken_it(engine, tmp_path):
    answer = np.zeros((1, 1_000_000), "<f4")
    engine.compute = lambda _: {"image_out": answer}
    with served(engine, tmp_path) as server:
        wire = server.wire()
        content = json.loads(INFER.partition(b"\r\n\r\n")[2])
        body = json.dumps({**content, "parameters": {"binary_data_output": True}}).encode()
        wire.send(request("POST", "/v2/models/digits/infer", body))
        until(lambda: server.server.held_bytes)
        assert server.server.held_bytes >= answer.nbytes, "also what was sent of it"
        assert wire.reply().status == 200
        until(lambda: server.server.held_bytes == 0)


def test_a_body_that_the_device_has_no_memory_for_ends_nothing(server, monkeypatch):
    def none(*_: object) -> None:
        raise MemoryError

    other = server.wire()
    assert other.get("/v2/health/live").status == 200
    monkeypatch.setattr(np, "empty", none)
    late = server.wire()
    late.send(request("POST", "/v2/models/digits/infer", bytes(90_000)))
    reply = late.reply()
    assert (reply.status, reply.fields["retry-after"]) == (503, "1")
    monkeypatch.undo()
    assert other.get("/v2/health/live").status == 200
    for _ in range(5):
        assert other.ask("POST", "/v2/models/digits/infer", bytes(90_000)).status == 400, "it is given back"


def test_a_fault_of_our_own_costs_one_client_its_connection_and_nobody_else(server, monkeypatch, caplog):
    other = server.wire()

    def broken(_):
        raise KeyError("head")

    with monkeypatch.context() as faulty:
        faulty.setattr(inboxes, "read_head", broken)
        wire = server.wire()
        wire.send(b"GET /v2 HTTP/1.1\r\n\r\n")
        assert wire.ended
    assert "a fault of the agent's own" in caplog.text
    assert other.get("/v2/health/live").status == 200


def test_who_was_answered_just_now_keeps_its_connection_and_the_next_is_told_to_come_again(server):
    wires = [server.wire() for _ in range(4)]
    for wire in wires:
        assert wire.get("/v2/health/live").status == 200
    late = server.wire()
    late.send(LIVE)
    assert late.reply().status == 503
    for wire in wires:
        assert wire.get("/v2/health/live").status == 200


def test_an_idle_connection_makes_place_for_a_new_one(server, monkeypatch):
    monkeypatch.setattr(servers, "_IDLE_SECONDS", 0.0)
    wires = [server.wire() for _ in range(4)]
    for wire in wires:
        assert wire.get("/v2/health/live").status == 200
    wires[0].get("/v2/health/live")
    assert server.wire().get("/v2/health/live").status == 200
    assert wires[1].ended
    assert wires[0].get("/v2/health/live").status == 200


def test_when_all_are_at_work_the_next_is_turned_away(server, engine):
    engine.holds = True
    wires = [server.wire() for _ in range(4)]
    for wire in wires:
        wire.send(INFER)
    until(lambda: len(engine.held) == 4)
    for asked in (b"", INFER, INFER[:-3], INFER.replace(b"Content-Length: ", b"Content-Length: 9") + bytes(900_000)):
        late = server.wire()
        late.send(asked)
        reply = late.reply()
        assert (reply.status, reply.fields["retry-after"], reply.fields["connection"]) == (503, "1", "close")
        assert "All 4 connections are at work" in reply.json["error"]
        assert late.ended
    for answer in engine.held:
        answer()
    assert {wire.reply().status for wire in wires} == {200}


def test_who_is_turned_away_keeps_no_socket_for_long_and_no_more_than_some_do(server, engine, monkeypatch):
    monkeypatch.setattr(turned_away, "_LINGER_SECONDS", 0.2)
    engine.holds = True
    wires = [server.wire() for _ in range(4)]
    for wire in wires:
        wire.send(INFER)
    until(lambda: len(engine.held) == 4)
    late = [server.wire() for _ in range(turned_away._MOST + 4)]
    assert {one.reply().status for one in late} == {503}
    known = server.server._turned_away._clients
    assert len(known) <= turned_away._MOST
    until(lambda: not known)
    for answer in engine.held:
        answer()
    assert {wire.reply().status for wire in wires} == {200}


def test_a_client_is_alone_until_another_connects_asks_or_sends(server, engine, monkeypatch):
    monkeypatch.setattr(crowds, "ALONE_SECONDS", 0.3)
    one, other = server.wire(), server.wire()

    def alone(wire) -> bool:
        wire.send(INFER)
        wire.reply()
        return engine.patient[-1]

    until(lambda: alone(one))
    assert not alone(other)
    assert not alone(one)
    until(lambda: alone(one))
    third = server.wire()
    until(lambda: not alone(one))
    until(lambda: alone(one))
    head, _, body = INFER.partition(b"\r\n\r\n")
    third.send(head + b"\r\n\r\n" + body[:10])
    until(lambda: not alone(one))
    third.send(body[10:])
    assert third.reply().status == 200


def test_a_client_that_leaves_calls_its_request_off(server, engine):
    engine.holds = True
    wire = server.wire()
    wire.send(INFER)
    until(lambda: engine.held)
    wire.close()
    assert engine.tickets[0].cancelled.wait(60)
    until(lambda: not server.server._connections)
    engine.held[0]()
    assert server.wire().get("/v2/health/live").status == 200


def test_a_client_that_does_not_take_its_answer_is_ended(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.3)
    engine.compute = lambda _: {"image_out": np.zeros((1, 1_000_000), "<f4")}
    with served(engine, tmp_path) as server:
        body = INFER.replace(b'"inputs"', b'"parameters":{"binary_data_output":true},"inputs"')
        wire = server.wire()
        wire.send(request("POST", "/v2/models/digits/infer", body.partition(b"\r\n\r\n")[2]))
        until(lambda: engine.calls and not server.server._connections)


@pytest.mark.parametrize("later", [False, True])
def test_a_large_answer_arrives_whole_at_a_slow_client(engine, tmp_path, later):
    engine.later = later
    answer = np.arange(1_000_000, dtype="<f4").reshape(1, -1)
    engine.compute = lambda _: {"image_out": answer}
    with served(engine, tmp_path) as server:
        wire = server.wire()
        content = json.loads(INFER.partition(b"\r\n\r\n")[2])
        body = json.dumps({**content, "parameters": {"binary_data_output": True}}).encode()
        wire.send(request("POST", "/v2/models/digits/infer", body) + LIVE)
        time.sleep(0.1)
        np.testing.assert_array_equal(wire.reply().tensor("image_out"), answer)
        assert wire.reply().json == {"live": True}


@pytest.mark.parametrize("later", [False, True])
def test_many_clients_each_get_their_own_answer(tmp_path, later):
    engine = image_model()
    engine.later = later
    wrong = []

    def client(number: int) -> None:
        with socket.socket(socket.AF_UNIX) as connected:
            connected.settimeout(90)
            connected.connect(str(server.path))
            wire = Wire(connected)
            for turn in range(40):
                size = 4 if turn % 3 else 40_000
                data = np.full((size // 4, 4), number * 1000 + turn, "<f4")
                given = {"name": "image", "datatype": "FP32", "shape": [size // 4, 4]}
                given["parameters"] = {"binary_data_size": data.nbytes}
                content = {"inputs": [given], "parameters": {"binary_data_output": True}, "id": f"{number}-{turn}"}
                reply = wire.infer(content, data.tobytes())
                if reply.json["id"] != f"{number}-{turn}" or not (reply.tensor("image_out") == data * 2).all():
                    wrong.append((number, turn))

    with served(engine, tmp_path) as server:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
    assert not wrong
    assert len(engine.calls) == 240


def test_a_stopping_server_answers_what_is_under_way(engine, tmp_path):
    engine.holds = True
    with served(engine, tmp_path) as server:
        busy, idle = server.wire(), server.wire()
        busy.send(INFER)
        until(lambda: engine.held)
        server.stop.set()
        server.server.wake()
        assert idle.ended
        engine.held[0]()
        assert busy.reply().fields["connection"] == "close"
        assert busy.ended
        assert not server.path.exists()


def test_a_stopping_server_does_not_wait_for_ever(engine, tmp_path):
    engine.holds = True
    with served(engine, tmp_path) as server:
        server.wire().send(INFER)
        until(lambda: engine.held)
        began = time.monotonic()
        server.stop.set()
        server.server.wake()
        server.thread.join(90)
        assert time.monotonic() - began < 30
    engine.held[0]()


# --- where it listens


def test_the_socket_is_for_its_user_and_group(server):
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o660


def test_a_socket_that_a_killed_agent_left_is_replaced(tmp_path):
    path = tmp_path / "v.sock"
    unix(path).close()
    assert path.exists()
    unix(path).close()


def test_neither_another_agent_nor_a_file_is_pushed_aside(tmp_path):
    path = tmp_path / "v.sock"
    with unix(path), pytest.raises(PlaceTaken, match="another process"):
        unix(path)
    path.unlink()
    path.write_text("precious")
    with pytest.raises(PlaceTaken, match="something else"):
        unix(path)
    assert path.read_text() == "precious"


def test_a_folder_may_lie_deeper_than_a_sockets_own_path_reaches(tmp_path):
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    unix(folder / "v.sock").close()
    with pytest.raises(PlaceTaken, match="No such file"):
        unix(folder / "none" / "v.sock")


def test_a_place_that_is_taken_is_told_and_tried_again(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("edge_agent.serving.http.server._RETRY_SECONDS", 0.1)
    holder = tcp(0)
    port = holder.getsockname()[1]
    with served(engine, tmp_path, tcp_port=port) as server:
        until(lambda: server.server.troubles)
        assert str(port) in server.server.troubles[0].sentence
        assert server.wire().get("/v2/health/live").status == 200
        holder.close()
        until(lambda: not server.server.troubles)
        with socket.create_connection(("127.0.0.1", port), 5) as connected:
            assert Wire(connected).get("/v2/health/live").status == 200


def test_a_page_of_another_name_gets_nothing_from_the_port(engine, tmp_path):
    with tcp(0) as free:
        port = free.getsockname()[1]
    with served(engine, tmp_path, tcp_port=port):
        for host, status in (
            ("evil.example", 421),
            ("localhost.evil.example:80", 421),
            ("LOCALHOST:8431", 200),
            ("[::1]:1", 200),
        ):
            with socket.create_connection(("127.0.0.1", port), 5) as connected:
                connected.sendall(LIVE.replace(b"Host: localhost", f"Host: {host}".encode()))
                assert Wire(connected).reply().status == status


def test_the_server_goes_on_when_files_run_out(server, monkeypatch):
    wire = server.wire()
    assert wire.get("/v2/health/live").status == 200
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = []
    try:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(int(one.name) for one in Path("/proc/self/fd").iterdir()) + 2, limits[1])
        )
        with pytest.raises(OSError, match="Too many"):
            while True:
                spare.append(os.dup(0))
        os.close(spare.pop())
        late = server.wire()
        until(lambda: server.server.troubles)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in spare:
            os.close(descriptor)
    assert late.get("/v2/health/live").status == 200
    until(lambda: not server.server.troubles)


def test_the_loop_turns_also_when_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.setattr("edge_agent.serving.http.loop._TURN_SECONDS", 0.05)
    with served(FakeEngine(), tmp_path) as server:
        before = server.server.turned_at
        until(lambda: server.server.turned_at > before)

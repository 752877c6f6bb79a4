"""A long request that is known, and must wait, is left unread until a worker has time for it, and answered as any."""

import random
import socket
import threading
import time

import numpy as np
import pytest

from edge_agent.serving.http.connection import Connection
from edge_agent.serving.http.inbox import Inbox
from edge_agent.serving.http.known import Known
from edge_agent.serving.http.status import Refused
from edge_agent.serving.standing import StandingCall
from fleet_contract.manifest import Tensor
from tests.fakes.engine import image_model, takes
from tests.fakes.sessions import FakeSession, serving
from tests.fakes.waiting import until
from tests.fakes.wire import asking_images, doubled, request, served

ROWS = 2000
LIVE = request("GET", "/v2/health/live")


def asking(value: float, rows: int = ROWS) -> bytes:
    return asking_images(value, rows)


@pytest.fixture
def engine():
    return image_model()


@pytest.fixture
def server(engine, tmp_path):
    with served(engine, tmp_path) as running:
        yield running


@pytest.fixture
def wire(server, engine):
    """A client whose request has become the usual one; from now on it must wait."""
    wire = server.wire()
    for value in (1, 2, 3):
        wire.send(asking(value))
        assert doubled(wire) == value
    engine.defers = True
    return wire


def next_turn(engine, may_run=True):
    until(lambda: engine.turns)
    worker = threading.Thread(target=engine.turns.pop(0), args=(may_run,))
    worker.start()
    worker.join(60)
    assert not worker.is_alive()


def connection(server):
    (found,) = server.server._connections
    return found


def test_it_is_read_when_it_is_next_and_so_is_the_one_after(server, engine, wire):
    before = len(engine.calls)
    for value in (4, 5, 6):
        wire.send(asking(value))
        until(lambda: engine.turns)
        assert server.server.held_bytes == 0
        next_turn(engine)
        assert doubled(wire) == value
    assert len(engine.calls) == before
    assert engine.sent == engine.at_once
    assert server.server.held_bytes == 0


def test_the_loop_hears_of_each_once(server, engine, wire, monkeypatch):
    woken = []
    soon, wait = server.server._loop.soon, Connection._wait
    monkeypatch.setattr(server.server._loop, "soon", lambda call: (woken.append(call), soon(call)))
    monkeypatch.setattr(Connection, "_wait", lambda self, events: (woken.append(events), wait(self, events)))
    for value in (4, 5, 6):
        wire.send(asking(value) + (b"" if value == 6 else asking(0)[:50]))
        time.sleep(0.01)
        next_turn(engine)
        assert doubled(wire) == value
        if value < 6:
            wire.send(asking(0)[50:])
            next_turn(engine)
            assert doubled(wire) == 0
    assert woken == []


def test_one_whose_turn_is_over_before_it_was_noted_is_not_read_twice(server, engine, wire):
    class AtOnce(list):
        def append(self, begin):
            worker = threading.Thread(target=begin, args=(True,))
            worker.start()
            worker.join(60)

    engine.turns, engine.later = AtOnce(), True
    for value in (4, 5):
        wire.send(asking(value))
        assert doubled(wire) == value
    before = len(engine.calls)
    wire.send(asking(6) + asking(7))
    assert [doubled(wire), doubled(wire)] == [6, 7]
    assert len(engine.calls) == before


def test_what_can_be_answered_at_once_does_not_wait(server, engine, wire):
    engine.defers = False
    wire.send(asking(4))
    assert doubled(wire) == 4
    assert engine.turns == []


def test_where_too_many_wait_it_is_read_and_told_so(server, engine, wire):
    engine.most_turns, engine.holds = 0, True
    wire.send(asking(4))
    until(lambda: engine.held)
    assert engine.turns == []
    engine.held.pop()()
    assert doubled(wire) == 4


def test_one_that_is_not_to_be_run_there_is_answered_as_any_other(server, engine, wire):
    engine.most_turns = 1
    wire.send(asking(4))
    until(lambda: engine.turns)
    engine.defers = False
    next_turn(engine, may_run=False)
    assert doubled(wire) == 4


def test_the_turn_of_a_client_that_has_left_is_called_off(server, engine, wire):
    wire.send(asking(4))
    until(lambda: engine.turns)
    wire.close()
    until(engine.tickets[-1].cancelled.is_set)
    until(lambda: not server.server._connections)
    # It may have been taken already.
    next_turn(engine)
    assert engine.sent == engine.at_once
    assert server.wire().get("/v2/health/live").status == 200


def test_a_client_that_leaves_during_its_turn_costs_nobody_anything(server, engine, wire):
    its, numbers = connection(server), []

    def leave():
        wire.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: its._custody.gone)
        # Not another's while a thread is about to use it.
        numbers.append(its.fileno())

    engine.on_turn = leave
    wire.send(asking(4))
    next_turn(engine)
    until(lambda: not server.server._connections)
    assert engine.sent == engine.at_once
    assert numbers[0] >= 0


def test_a_client_that_leaves_when_it_has_its_answer_is_let_go(server, engine, wire, monkeypatch):
    its, loop = connection(server), server.server._loop
    change = loop.change

    def and_leave(fd, events):
        change(fd, events)
        if events:
            wire.socket.shutdown(socket.SHUT_RDWR)
            until(lambda: its._custody.gone)

    monkeypatch.setattr(loop, "change", and_leave)
    wire.send(asking(4))
    next_turn(engine)
    until(lambda: not server.server._connections)


def test_the_number_of_a_client_that_leaves_is_no_others_before_it_was_listened_to_again(
    server, engine, wire, monkeypatch
):
    its, loop, numbers = connection(server), server.server._loop, []
    change = loop.change

    def leave_and(fd, events):
        if events:
            wire.socket.shutdown(socket.SHUT_RDWR)
            until(lambda: its._custody.gone)
            heard = threading.Event()
            loop.soon(heard.set)
            assert heard.wait(10)
            numbers.append((fd, its.fileno()))
        change(fd, events)

    monkeypatch.setattr(loop, "change", leave_and)
    wire.send(asking(4))
    next_turn(engine)
    until(lambda: not server.server._connections)
    ((used, its_own),) = numbers
    assert used == its_own


def test_what_was_read_for_a_client_that_has_left_is_not_asked(server, engine, wire):
    its, before = connection(server), len(engine.calls)

    def leave_and_change():
        wire.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: its._custody.gone)
        engine._manifests["digits"] = takes("digits", Tensor("image", "FP32", (-1, 4)), version=2)

    engine.on_turn = leave_and_change
    wire.send(asking(4))
    next_turn(engine)
    until(lambda: not server.server._connections)
    assert len(engine.calls) == before


def test_a_client_that_leaves_while_a_piece_of_its_request_is_read_is_let_go(server, engine, wire, monkeypatch):
    its, body = connection(server), Known.body

    def leave(known, data):
        wire.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: its._custody.gone)
        return body(known, data)

    monkeypatch.setattr(Known, "body", leave)
    wire.send(asking(4)[:1000])
    next_turn(engine)
    until(lambda: not server.server._connections, seconds=2)
    assert server.wire().get("/v2/health/live").status == 200


def test_one_that_is_not_all_there_at_its_turn_is_answered_when_it_is(server, engine, wire):
    whole = asking(4)
    for cut in (1, 60, 400, len(whole) - 1):
        wire.send(whole[:cut])
        next_turn(engine)
        wire.send(whole[cut:])
        assert doubled(wire) == 4


def test_another_in_its_place_is_not_taken_for_it(server, engine, wire):
    wire.send(LIVE)
    next_turn(engine)
    assert wire.reply().json == {"live": True}
    wire.send(asking(4).replace(b'"image"', b'"imagf"'))
    next_turn(engine)
    assert wire.reply().status == 400
    wire.send(asking(4, rows=ROWS // 2))
    next_turn(engine)
    assert doubled(wire) == 4


def test_what_comes_behind_it_has_its_own_turn(server, engine, wire):
    wire.send(asking(4) + asking(5) + LIVE)
    next_turn(engine)
    assert doubled(wire) == 4
    next_turn(engine)
    assert doubled(wire) == 5
    next_turn(engine)
    assert wire.reply().json == {"live": True}


def test_where_another_version_is_live_at_its_turn_that_answers(server, engine, wire):
    wire.send(asking(4))
    until(lambda: engine.turns)
    engine._manifests["digits"] = takes("digits", Tensor("image", "FP32", (-1, 4)), version=2)
    next_turn(engine)
    reply = wire.reply()
    assert reply.json["model_version"] == "2"
    before = len(engine.calls)
    wire.send(asking(5))
    next_turn(engine)
    assert doubled(wire) == 5
    assert len(engine.calls) == before, "what is usual is of that version now"
    assert engine.sent == engine.at_once


def test_an_error_at_its_turn_is_told_and_ends_nothing(server, engine, wire, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(engine, "answer", lambda _: 1 / 0)
        wire.send(asking(4))
        next_turn(engine)
        assert wire.reply().status == 500
    wire.send(asking(5))
    next_turn(engine)
    assert doubled(wire) == 5


def test_where_there_is_no_memory_to_read_it_into_the_client_is_told(server, engine, wire, monkeypatch):
    def none(*_):
        raise Refused.busy("The device has no memory for the body now.")

    monkeypatch.setattr("edge_agent.serving.http.known.room_for", none)
    wire.send(asking(4))
    next_turn(engine)
    assert wire.reply().status == 503
    assert wire.ended


def test_a_fault_of_ours_at_its_turn_ends_one_connection_and_no_worker(server, engine, wire, monkeypatch):
    monkeypatch.setattr("edge_agent.serving.http.known.room_for", lambda *_: 1 / 0)
    wire.send(asking(4))
    next_turn(engine)
    assert wire.ended
    assert server.wire().get("/v2/health/live").status == 200


@pytest.mark.parametrize("cut", [1000, None], ids=["a piece of it", "all of it"])
def test_a_fault_of_ours_after_its_turn_ends_one_connection_and_no_loop(server, engine, wire, monkeypatch, cut):
    engine._manifests["digits"] = takes("digits", Tensor("image", "FP32", (-1, 4)), version=2)
    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "reserve", lambda *_: 1 / 0)
        wire.send(asking(4)[:cut])
        next_turn(engine)
        assert wire.ended
    assert server.wire().get("/v2/health/live").status == 200


def test_a_large_answer_arrives_whole_at_a_slow_client(server, engine, wire):
    answer = np.arange(1_000_000, dtype="<f4").reshape(1, -1)
    engine.compute = lambda _: {"image_out": answer}
    for _ in range(2):
        wire.send(asking(4) + LIVE)
        next_turn(engine)
        time.sleep(0.02)
        np.testing.assert_array_equal(wire.reply().tensor("image_out"), answer)
        next_turn(engine)
        assert wire.reply().json == {"live": True}


def test_what_was_read_to_a_workers_desk_stays_with_no_one_else(server, engine, wire):
    engine.desk = memoryview(np.empty(ROWS * 16 + 4096, np.uint8))
    engine.on_turn = lambda: engine._manifests.update(
        digits=takes("digits", Tensor("image", "FP32", (-1, 4)), version=len(engine.calls))
    )
    engine.holds = True
    wire.send(asking(4))
    next_turn(engine)
    until(lambda: engine.held)
    engine.desk[:] = bytes(len(engine.desk))
    engine.held.pop()()
    assert doubled(wire) == 4
    engine.holds, engine.on_turn = False, lambda: None
    # Told in other words than the last: not by its bytes.
    engine.compute = lambda inputs: {"image_out": inputs["image"], "more": inputs["image"]}
    wire.send(asking(5) + LIVE)
    for _ in range(2):
        next_turn(engine)
    engine.desk[:] = bytes(len(engine.desk))
    assert doubled(wire) == 2.5
    assert wire.reply().json == {"live": True}


def test_a_large_answer_from_a_workers_desk_arrives_as_it_was_given(server, engine, wire):
    desk = np.ones((1, 1_000_000), "<f4")
    engine.compute = lambda _: {"image_out": desk}
    wire.send(asking(4))
    next_turn(engine)
    desk[:] = 0
    np.testing.assert_array_equal(wire.reply().tensor("image_out"), np.ones_like(desk))
    assert engine.sent == engine.at_once


def test_one_that_waits_when_the_agent_stops_is_answered(server, engine, wire):
    wire.send(asking(4))
    until(lambda: engine.turns)
    server.stop.set()
    server.server.wake()
    until(lambda: connection(server)._custody.closing)
    next_turn(engine)
    assert doubled(wire) == 4
    assert wire.ended


def test_when_the_agent_stops_nobody_waits_for_one_that_was_just_answered(server, engine, wire, monkeypatch):
    monkeypatch.setattr("edge_agent.serving.http.server._DRAIN_SECONDS", 30.0)
    its = connection(server)

    def stop():
        server.stop.set()
        server.server.wake()
        until(lambda: its._custody.closing)

    engine.on_turn = stop
    wire.send(asking(4))
    next_turn(engine)
    assert doubled(wire) == 4
    assert wire.ended


def test_many_clients_of_a_slow_model_each_get_their_own_answers_whoever_leaves(tmp_path, monkeypatch):
    """Turns, arrivals and departures in any order, on real threads."""
    session = FakeSession(instead=lambda: time.sleep(0.0005))
    failed, turns = [], []
    run_next = StandingCall.run_next
    monkeypatch.setattr(StandingCall, "run_next", lambda self, data: (turns.append(1), run_next(self, data))[1])

    def client(server, number):
        draw = random.Random(number)
        try:
            wire = server.wire()
            for _ in range(60):
                value, whole = draw.randrange(3), None
                whole = asking(value)
                cut = draw.choice([len(whole), len(whole), len(whole), 30, 20_000])
                wire.send(whole[:cut])
                wire.send(whole[cut:])
                if draw.random() < 0.05:
                    wire.close()
                    wire = server.wire()
                    continue
                scores = wire.reply().tensor("scores")
                assert (scores.argmax(axis=1) == value).all()
        except Exception as error:  # noqa: BLE001, told below
            failed.append((number, repr(error)))

    with serving() as world:
        world.runs(session)
        with served(world.engine, tmp_path) as server:
            clients = [threading.Thread(target=client, args=(server, number)) for number in range(8)]
            for one in clients:
                one.start()
            for one in clients:
                one.join(30)
            assert failed == []
            assert len(turns) > 100
            until(lambda: world.slot("digits").leases == 0)
        assert world.engine.held_bytes == 0

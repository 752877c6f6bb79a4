"""A request that a client sends again and again is answered in few steps, and just as any other."""

import json
import socket
import time

import numpy as np
import pytest

from edge_agent.runtimes.session import InferenceFailed
from edge_agent.serving.http import crowd
from fleet_contract.manifest import Tensor
from tests.fakes.engine import image_model, takes
from tests.fakes.waiting import until
from tests.fakes.wire import asking_images, doubled, request, served

LIVE = request("GET", "/v2/health/live")


class Size:
    """How many images a request has: of few it is read with its head, of many for itself."""

    rows = 1


@pytest.fixture(params=[1, 6000], ids=["short", "long"], autouse=True)
def size(request, monkeypatch):
    monkeypatch.setattr(Size, "rows", request.param)


def asking(value: float, *fields: str, model: str = "digits") -> bytes:
    return asking_images(value, Size.rows, *fields, model=model)


@pytest.fixture
def engine():
    return image_model()


@pytest.fixture
def server(engine, tmp_path):
    with served(engine, tmp_path) as running:
        yield running


def used(wire):
    """`wire`, on which the request has become the usual one."""
    for value in (1, 2, 3):
        wire.send(asking(value))
        assert doubled(wire) == value
    return wire


def test_what_came_twice_is_from_then_on_answered_at_once_each_with_its_own_numbers(server, engine):
    wire = server.wire()
    for value in range(10):
        wire.send(asking(value))
        assert doubled(wire) == value
    assert (len(engine.calls), engine.at_once) == (2, 8)
    until(lambda: engine.sent == 8)


def test_each_connection_has_a_usual_request_of_its_own(server, engine):
    one, other = used(server.wire()), server.wire()
    before = engine.at_once
    other.send(asking(7))
    assert doubled(other) == 7
    assert engine.at_once == before
    one.send(asking(8))
    assert doubled(one) == 8
    assert engine.at_once == before + 1


def test_who_asks_at_once_is_alone_or_keeps_another_from_being_alone(server, engine, monkeypatch):
    monkeypatch.setattr(crowd, "ALONE_SECONDS", 0.2)
    wire, other = used(server.wire()), server.wire()
    time.sleep(0.3)
    wire.send(asking(4))
    assert doubled(wire) == 4
    assert engine.patient[-1]
    other.send(asking(5))
    assert doubled(other) == 5
    assert not engine.patient[-1]
    wire.send(asking(6))
    assert doubled(wire) == 6
    assert not engine.patient[-1]


def test_it_may_come_in_pieces_or_with_the_next(server):
    wire = used(server.wire())
    whole = asking(4)
    for cut in (1, 60, len(whole) - 20, len(whole) - 1):
        wire.send(whole[:cut])
        time.sleep(0.02)
        wire.send(whole[cut:])
        assert doubled(wire) == 4
    wire.send(asking(5) + asking(6) + LIVE + asking(7) + asking(8)[:50])
    assert [doubled(wire), doubled(wire)] == [5, 6]
    assert wire.reply().json == {"live": True}
    assert doubled(wire) == 7
    wire.send(asking(8)[50:] + asking(9))
    assert [doubled(wire), doubled(wire)] == [8, 9]


def test_one_that_never_comes_in_one_piece_is_answered_as_well(server):
    wire = server.wire()
    for value in range(6):
        whole = asking(value)
        for at in range(0, len(whole), 40_000):
            wire.send(whole[at : at + 40_000])
            time.sleep(0.005)
        assert doubled(wire) == value


def test_another_request_is_not_taken_for_it(server, engine):
    wire = used(server.wire())
    wire.send(LIVE)
    assert wire.reply().json == {"live": True}
    for one, answer in (
        (asking(5).replace(b"digits", b"nobody"), 404),
        (asking(5).replace(b", 4]", b", 5]"), 400),
        (asking(5).replace(b'"image"', b'"imagf"'), 400),
    ):
        wire.send(one)
        assert wire.reply().status == answer
    wire.send(asking(6))
    assert doubled(wire) == 6
    wire.send(asking(7, "Connection: close"))
    assert doubled(wire) == 7
    assert wire.ended


def test_a_client_that_says_goodbye_each_time_has_no_usual_request(server, engine):
    for value in range(4):
        wire = server.wire()
        wire.send(asking(value, "Connection: close"))
        assert doubled(wire) == value
        assert wire.ended
    assert engine.at_once == 0


def test_what_cannot_be_answered_at_once_is_answered_later_and_then_at_once_again(server, engine):
    wire = used(server.wire())
    engine.later = True
    before = engine.at_once
    for value in range(4):
        wire.send(asking(value))
        assert doubled(wire) == value
    assert engine.at_once == before
    engine.later = False
    used(wire)
    assert engine.at_once > before


@pytest.mark.parametrize("rows", [6000, 5000], ids=["the known", "a shorter one that was read as it is"])
def test_one_that_waits_for_its_answer_is_held_and_then_is_not(server, engine, monkeypatch, rows):
    monkeypatch.setattr(Size, "rows", 6000)
    wire = used(server.wire())
    monkeypatch.setattr(Size, "rows", rows)
    assert server.server.held_bytes == 0
    engine.holds = True
    wire.send(asking(5))
    until(lambda: engine.held)
    assert server.server.held_bytes >= 16 * Size.rows
    engine.held.pop()()
    assert doubled(wire) == 5
    until(lambda: server.server.held_bytes == 0)


def test_what_was_read_with_a_shorter_one_is_held_while_that_waits(server, engine, monkeypatch):
    monkeypatch.setattr(Size, "rows", 6000)
    wire = used(server.wire())
    monkeypatch.setattr(Size, "rows", 900)
    engine.holds = True
    wire.send(asking(5) + asking(6))
    until(lambda: engine.held)
    assert server.server.held_bytes >= 16 * Size.rows
    for value in (5, 6):
        until(lambda: engine.held)
        engine.held.pop()()
        assert doubled(wire) == value
    until(lambda: server.server.held_bytes == 0)


def test_nothing_is_written_over_what_others_may_look_at_after_the_answer(server, engine):
    wire = used(server.wire())
    engine.later = True
    for value in (5, 6, 7):
        wire.send(asking(value))
        assert doubled(wire) == value
    looked_at = [set(call.inputs["image"].ravel().tolist()) for call in engine.calls[-3:]]
    assert looked_at == [{5}, {6}, {7}]


def test_one_that_waits_after_a_head_was_asked_for_is_answered_with_its_body(server, engine):
    wire = used(server.wire())
    assert wire.ask("HEAD", "/v2/health/live").status == 200
    engine.later = True
    wire.send(asking(5))
    assert doubled(wire) == 5


def test_another_may_become_the_usual_one_and_then_the_first_again(server, engine, monkeypatch):
    wire, rows = used(server.wire()), Size.rows
    for given in (2, rows):
        monkeypatch.setattr(Size, "rows", given)
        used(wire)
        before = engine.at_once
        wire.send(asking(5))
        assert doubled(wire) == 5
        assert engine.at_once == before + 1


def test_another_version_answers_in_its_own_name(server, engine):
    wire = used(server.wire())
    engine._manifests["digits"] = takes("digits", Tensor("image", "FP32", (-1, 4)), version=2)
    for _ in range(4):
        wire.send(asking(4))
        assert wire.reply().json["model_version"] == "2"
    before = engine.at_once
    wire.send(asking(5))
    assert doubled(wire) == 5
    assert engine.at_once == before + 1


def test_an_answer_in_another_form_is_told_in_that(server, engine):
    wire = used(server.wire())
    for rows in (2, 1, 3, 3):
        engine.compute = lambda inputs, rows=rows: {"image_out": np.repeat(inputs["image"], rows, axis=0) * 2}
        wire.send(asking(5))
        reply = wire.reply()
        assert reply.json["outputs"][0]["shape"] == [rows * Size.rows, 4]
        assert reply.tensor("image_out").tolist() == [[10.0] * 4] * rows * Size.rows


def test_a_failure_is_told_and_the_next_is_answered(server, engine):
    wire = used(server.wire())
    engine.fails = InferenceFailed("The model could not.")
    for _ in range(3):
        wire.send(asking(5))
        reply = wire.reply()
        assert reply.status == 500
        assert "could not" in reply.error
    engine.fails = None
    wire.send(asking(6))
    assert doubled(wire) == 6


def test_a_failure_is_told_whole_after_a_request_for_heads_only(server, engine):
    wire = used(server.wire())
    assert wire.ask("HEAD", "/v2/health/live").status == 200
    engine.fails = InferenceFailed("The model could not.")
    wire.send(asking(5))
    assert "could not" in wire.reply().error


@pytest.mark.parametrize("shape", [[0, 1 << 62], [0, 1 << 70], [1 << 40, 0, 1 << 40]])
def test_a_shape_that_no_array_can_have_is_refused_however_often_it_is_sent(server, shape):
    used(server.wire())
    tensor = {"name": "image", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": 0}}
    header = json.dumps({"inputs": [tensor]}).encode()
    wire = server.wire()
    for _ in range(3):
        reply = wire.ask("POST", "/v2/models/digits/infer", header, f"Inference-Header-Content-Length: {len(header)}")
        assert reply.status == 400
        assert "'image'" in reply.error


def test_a_fault_of_ours_in_looking_ahead_is_one_clients_and_not_everybodys(server, engine, monkeypatch):
    wire = server.wire()
    wire.send(asking(1))
    assert doubled(wire) == 1

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "standing", fail)
    for value in (2, 3, 4):
        wire.send(asking(value))
        assert doubled(wire) == value


def test_a_fault_of_ours_in_a_standing_call_is_told(server, engine, monkeypatch):
    wire = used(server.wire())

    def fail(_):
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "answer", fail)
    wire.send(asking(5))
    assert wire.reply().status == 500
    assert server.wire().get("/v2/health/live").status == 200


def test_an_answer_that_cannot_be_told_ends_nothing(server, engine):
    wire = used(server.wire())
    engine.compute = lambda _: {}
    wire.send(asking(5))
    assert wire.reply().json.get("outputs", []) == []
    engine.compute = lambda _: {"image_out": "no array"}
    wire.send(asking(5))
    assert wire.reply().status == 500
    assert server.wire().get("/v2/health/live").status == 200


def test_a_client_that_leaves_before_its_answer_costs_nobody_anything(server, engine):
    wire = used(server.wire())
    waits = engine.compute

    def compute(inputs):
        wire.socket.shutdown(socket.SHUT_RDWR)
        return waits(inputs)

    engine.compute = compute
    wire.send(asking(5))
    until(lambda: not server.server._connections)
    assert engine.sent == engine.at_once, "it was answered, and counts"
    engine.compute = waits
    used(server.wire())


def test_a_large_answer_arrives_whole_at_a_slow_client(engine, tmp_path):
    answer = np.arange(1_000_000, dtype="<f4").reshape(1, -1)
    engine.compute = lambda _: {"image_out": answer}
    with served(engine, tmp_path) as server:
        wire = server.wire()
        for _ in range(4):
            wire.send(asking(1) + LIVE)
            time.sleep(0.05)
            np.testing.assert_array_equal(wire.reply().tensor("image_out"), answer)
            assert wire.reply().json == {"live": True}
        for _ in range(3):
            wire.send(asking(1))
            time.sleep(0.05)
            np.testing.assert_array_equal(wire.reply().tensor("image_out"), answer)
        wire.send(LIVE)
        assert wire.reply().json == {"live": True}
    assert engine.at_once

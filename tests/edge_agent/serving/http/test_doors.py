"""Who comes before there is anything to answer with waits at the door, and is not told to come again."""

import os
import resource
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.serving.http.listener import tcp
from tests.fakes.engine import image_model
from tests.fakes.waiting import until
from tests.fakes.wire import Served, asking_images, doubled, request, served

LIVE = request("GET", "/v2/health/live")
#: Longer than any test takes.
NOT_BY_ITSELF = 300.0


def asks(server: Served) -> threading.Thread:
    """Somebody who asks at once; the thread ends with the answer."""
    wire = server.wire()

    def ask() -> None:
        wire.send(LIVE)
        assert wire.reply().json == {"live": True}

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def listens(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def test_who_comes_early_is_answered_when_the_door_opens(tmp_path: Path) -> None:
    with served(image_model(), tmp_path, doors_seconds=NOT_BY_ITSELF) as server:
        early = [asks(server) for _ in range(20)]
        early[0].join(0.2)
        assert all(one.is_alive() for one in early)
        server.server.let_in()
        for one in early:
            one.join(60)
            assert not one.is_alive()
        assert server.wire().get("/v2/health/live").status == 200


def test_more_may_wait_than_have_connections(tmp_path: Path) -> None:
    with served(image_model(), tmp_path, doors_seconds=NOT_BY_ITSELF, connections_max=256) as server:
        early = [server.wire() for _ in range(250)]
        server.server.let_in()
        for wire in early:
            assert wire.get("/v2/health/live").status == 200


def test_nothing_is_computed_for_who_has_hung_up(tmp_path: Path) -> None:
    with served(image_model(), tmp_path, doors_seconds=NOT_BY_ITSELF) as server:
        for _ in range(20):
            impatient = server.wire()
            impatient.send(asking_images(1.0, 1))
            impatient.close()
        patient, done_sending = server.wire(), server.wire()
        for value, wire in ((2.0, patient), (3.0, done_sending)):
            wire.send(asking_images(value, 1))
        done_sending.socket.shutdown(socket.SHUT_WR)
        server.server.let_in()
        assert (doubled(patient), doubled(done_sending)) == (2.0, 3.0)
        assert sorted(call.inputs["image"][0, 0] for call in server.engine.calls) == [2.0, 3.0]


def test_nobody_who_waited_loses_what_they_asked_when_files_run_out_at_the_door(tmp_path: Path) -> None:
    with served(image_model(), tmp_path, doors_seconds=NOT_BY_ITSELF) as server:
        early = [server.wire() for _ in range(10)]
        for wire in early:
            wire.send(LIVE)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        first_free = os.dup(0)
        os.close(first_free)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (first_free + 3, limits[1]))
            server.server.let_in()
            until(lambda: server.server.troubles)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert {wire.reply().status for wire in early} == {200}


def test_the_port_has_the_same_door(tmp_path: Path) -> None:
    with tcp(0) as free:
        port = free.getsockname()[1]
    with served(image_model(), tmp_path, tcp_port=port, doors_seconds=NOT_BY_ITSELF) as server:
        until(lambda: listens(port))
        with socket.create_connection(("127.0.0.1", port), 0.2) as client:
            client.sendall(LIVE)
            with pytest.raises(TimeoutError):
                client.recv(1)
            server.server.let_in()
            client.settimeout(10)
            assert b" 200 " in client.recv(100)


def test_nobody_waits_for_longer_than_they_are_to(tmp_path: Path) -> None:
    with served(image_model(), tmp_path, doors_seconds=0.05) as server:
        assert server.wire().get("/v2/health/live").status == 200


def test_a_door_that_is_open_stays_so(tmp_path: Path) -> None:
    with served(image_model(), tmp_path, doors_seconds=0.05) as server:
        wire = server.wire()
        for _ in range(3):
            server.server.let_in()
            assert wire.get("/v2/health/live").status == 200
            assert server.wire().get("/v2/health/live").status == 200


def test_a_server_that_never_opened_its_door_stops(tmp_path: Path) -> None:
    with served(image_model(), tmp_path, doors_seconds=NOT_BY_ITSELF) as server:
        wire = server.wire()
        wire.send(LIVE)
        server.stop.set()
        server.server.wake()
        server.thread.join(60)
        assert wire.ended
        assert not server.path.exists()

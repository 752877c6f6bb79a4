"""One connection among the loop's thread, two workers and its client, which take turns between any two of its lines:
each request is answered once and in order, and who has left is let go. A seed decides all that happens."""

import random
import select
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.serving.http import connection, custody, habit, inbox, unread
from edge_agent.serving.http.connection import Connection
from edge_agent.serving.http.crowd import Crowd
from edge_agent.serving.http.head import read_head
from edge_agent.serving.http.known import Known
from edge_agent.serving.http.loop import READ, WRITE
from edge_agent.serving.http.response import Response
from edge_agent.serving.http.terms import Terms

LONG, SHORT = 17_000, 9
MOST_STEPS = 60_000
STEPPED = {connection.__file__, custody.__file__, habit.__file__, inbox.__file__, unread.__file__}
"""Any line in these is a step."""
RESTS = 30
"""After so many looks at nothing, nothing is to come."""


def asking(value: int, size: int = LONG) -> bytes:
    body = b"{}" + bytes([value]) * size
    lines = (
        "POST /x HTTP/1.1",
        "Host: localhost",
        "Inference-Header-Content-Length: 2",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


PREFIX = asking(0)[:-LONG]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%03d"


class Steps:
    """Lets one thread at a time take a step, and draws whose the next is."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.over = False
        self.faults: list[str] = []
        self._stays = draw.choice([0.0, 0.3, 0.7, 0.9])
        self._taken = 0
        self._batons: dict[str, threading.Semaphore] = {}

    def run(self, **parts: Callable[[], None]) -> None:
        threads = [threading.Thread(target=self._run, args=(name, part), name=name) for name, part in parts.items()]
        self._batons = {name: threading.Semaphore(0) for name in parts}
        for thread in threads:
            thread.start()
        self._pass_on()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()

    def rest(self) -> None:
        """The thread that calls has nothing to do."""
        self._step(stays=0.0)

    def step(self) -> None:
        """Another may be faster here."""
        self._step(self._stays)

    def _step(self, stays: float) -> None:
        self._taken += 1
        if self._taken > MOST_STEPS and not self.over:
            self.faults.append("there is no end")
            self.over = True
        if self.draw.random() >= stays:
            mine = self._batons[threading.current_thread().name]
            self._pass_on()
            mine.acquire()

    def _pass_on(self) -> None:
        self._batons[self.draw.choice(list(self._batons))].release()

    def _run(self, name: str, part: Callable[[], None]) -> None:
        self._batons[name].acquire()
        sys.settrace(self._trace)
        try:
            part()
        except Exception as error:  # noqa: BLE001, told in the test
            self.faults.append(f"{name} has ended: {error!r}")
            self.over = True
        finally:
            sys.settrace(None)
            del self._batons[name]
            if self._batons:
                self._pass_on()

    def _trace(self, frame: Any, event: str, _: object) -> Any:
        if event == "call":
            return self._trace if frame.f_code.co_filename in STEPPED else None
        if event == "line":
            self.step()
        return self._trace


class FakeSocket:
    family = socket.AF_UNIX

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.come = bytearray()
        self.told = bytearray()
        self.gone = self.closed = self.ends = False

    def setblocking(self, _: bool) -> None:
        """It never does."""

    def fileno(self) -> int:
        return -1 if self.closed else 7

    def recv(self, most: int) -> bytes:
        self._used()
        if not self.come and not self.gone:
            raise BlockingIOError
        found = bytes(self.come[:most])
        del self.come[:most]
        self._steps.step()
        return found

    def recv_into(self, room: memoryview) -> int:
        found = self.recv(len(room))
        room[: len(found)] = found
        return len(found)

    def send(self, data: bytes) -> int:
        self._used()
        if self.gone:
            raise BrokenPipeError
        draw = self._steps.draw
        count = len(data) if draw.random() < 0.8 else draw.randrange(len(data))
        if not count:
            raise BlockingIOError
        self.told += data[:count]
        self._steps.step()
        return count

    def sendmsg(self, parts: Any) -> int:
        return self.send(b"".join(map(bytes, parts)))

    def shutdown(self, _: int) -> None:
        self._used()
        if self.gone:
            raise OSError
        self.ends = True

    def close(self) -> None:
        self._used()
        self.closed = True

    def _used(self) -> None:
        self._steps.step()
        if self.closed:
            self._steps.faults.append("it is used once it is closed")


class FakeLoop:
    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.events: int | None = None
        self.ready: Callable[[int], None] = lambda _: None
        self.calls: deque[Callable[[], None]] = deque()

    def watch(self, _: int, events: int, ready: Callable[[int], None]) -> None:
        self.events, self.ready = events, ready

    def change(self, fd: int, events: int) -> None:
        if fd < 0:
            self._steps.faults.append("a number is used that may be another's")
        if self.events is None:
            raise FileNotFoundError
        self.events = events
        self._steps.step()

    def forget(self, _: int) -> None:
        assert self.events is not None, "it is forgotten already"
        self.events = None

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def at(self, *_: object) -> None:
        """Nothing is late here."""

    never = expect = at


class World:
    """Also what the connection asks: a usual request, which is answered in any of the ways that there are."""

    over = False

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.steps = Steps(self.draw)
        self.socket = FakeSocket(self.steps)
        self.loop = FakeLoop(self.steps)
        self.work: deque[Callable[[], None]] = deque()
        self.at_work = 0
        self.reserved = 0
        self.ended: list[Connection] = []
        self.sizes = [SHORT if self.draw.random() < 0.1 else LONG for _ in range(self.draw.randrange(2, 6))]
        self.values = [self.draw.randrange(1, 200) for _ in self.sizes]
        self.all_sent = False
        self._desks = {name: memoryview(bytearray(len(PREFIX) + LONG)) for name in ("one", "other")}
        terms = Terms(
            self.handle, lambda *_: None, 1 << 20, None, lambda _: None, self.reserve, self.ended.append, Crowd()
        )
        self.connection = Connection(self.socket, self.loop, terms)  # type: ignore[arg-type]
        self.connection._habit.usual = self  # type: ignore[assignment]
        self.connection._habit.known = Known(PREFIX, read_head(PREFIX[:-6]), b"{}", len(PREFIX) + LONG)

    # --- the usual request, and any other

    @property
    def later(self) -> "World":
        return self

    def answer(self, data: bytes | memoryview, _: bool) -> bytes | Response | None:
        return self.answer_next(data) if self.draw.random() < 0.3 else None

    def waits(self, _: bool) -> bool:
        return self.draw.random() < 0.8

    def wait(self, begin: Callable[[bool], None]) -> "World | None":
        if self.draw.random() < 0.1:
            return None
        may_run = self.draw.random() < 0.9
        self.work.append(lambda: begin(may_run))
        self.steps.step()
        return self

    def cancel(self) -> None:
        """It may be too late."""

    def room(self) -> memoryview | None:
        return self._desks[threading.current_thread().name] if self.draw.random() < 0.5 else None

    def answer_next(self, data: bytes | memoryview) -> bytes | Response | None:
        if len(data) != len(PREFIX) + LONG or data[: len(PREFIX)] != PREFIX or self.draw.random() < 0.2:
            return None
        told = ANSWER % data[-1]
        return told if self.draw.random() < 0.7 else Response(200, b"", (told[-3:],))

    def sent(self) -> None:
        self.steps.step()

    def handle(self, _: object, body: Any, respond: Callable[[Response], None], __: bool) -> "World | None":
        response = Response(200, b"", (b"%03d" % body.binary[0],))
        if self.draw.random() < 0.3:
            respond(response)
            return None
        self.work.append(lambda: respond(response))
        return self

    def reserve(self, size: int) -> bool:
        self.reserved += size
        return True

    # --- who takes steps

    def client(self, leaves: bool) -> None:
        """Sends all, in pieces, and may leave after any; most clients wait for each answer."""
        whole = b"".join(map(asking, self.values, self.sizes))
        ends = [sum(len(asking(0, size)) for size in self.sizes[: at + 1]) for at in range(len(self.sizes))]
        stops = sorted({*ends, *self.draw.sample(range(1, len(whole)), self.draw.randrange(6))})
        last = self.draw.choice(stops) if leaves else None
        waits = self.draw.random() < 0.7
        for begin, end in zip([0, *stops], stops, strict=False):
            self.socket.come += whole[begin:end]
            for _ in range(self.draw.randrange(120 if end == last else 20)):
                self.steps.rest()
            if end == last:
                self.socket.gone = True
                break
            while waits and end in ends and not self.steps.over and self._told < ends.index(end) + 1:
                self.steps.rest()
        self.all_sent = True

    @property
    def _told(self) -> int:
        return self.socket.told.count(b"HTTP/1.1")

    def turn(self) -> None:
        """The loop's thread."""
        rests = 0
        while not self.steps.over:
            self.steps.rest()
            rests += 1
            events = 0 if self.loop.events is None else self._events(self.loop.events)
            if events and self.draw.random() < 0.7:
                self.loop.ready(events)
            elif self.loop.calls:
                self.loop.calls.popleft()()
            elif events or not self.all_sent or self.work or self.at_work:
                pass
            elif rests > RESTS:
                self.steps.over = True
            else:
                continue
            rests = 0

    def _events(self, wanted: int) -> int:
        comes = wanted & READ if self.socket.come or self.socket.gone else 0
        return comes | wanted & WRITE | (select.EPOLLHUP if self.socket.gone else 0)

    def worker(self) -> None:
        while not self.steps.over:
            self.steps.rest()
            if self.work and self.draw.random() < 0.3:
                self.at_work += 1
                self.work.popleft()()
                self.at_work -= 1


def play(seed: int) -> None:
    world = World(seed)
    leaves = world.draw.random() < 0.5
    world.steps.run(client=lambda: world.client(leaves), loop=world.turn, one=world.worker, other=world.worker)
    assert world.steps.faults == [], seed
    told = b"".join(ANSWER % value for value in world.values)
    if leaves:
        assert (world.socket.closed, len(world.ended)) == (True, 1), seed
        assert told.startswith(world.socket.told), seed
    else:
        assert world.socket.told == told, seed
        assert world.loop.events == READ, seed
    assert (world.connection._custody._hands, world.reserved) == (set(), 0), seed


def test_in_any_order_of_steps_each_request_is_answered_and_who_leaves_is_let_go():
    for seed in range(40):
        play(seed)


@pytest.mark.slow
def test_the_same_in_many_orders():
    for seed in range(40, 1500):
        play(seed)

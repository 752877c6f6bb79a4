"""One client's connection: reads a request, hands it over, sends its answer, and only then reads the next."""

import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import assert_never

from edge_agent.serving.http import unread
from edge_agent.serving.http.body import Body
from edge_agent.serving.http.custody import Custody
from edge_agent.serving.http.habit import Habit
from edge_agent.serving.http.head import Head
from edge_agent.serving.http.holding import Holding
from edge_agent.serving.http.inbox import Inbox
from edge_agent.serving.http.known import FIRST_BYTES, Known
from edge_agent.serving.http.loop import GONE, Loop
from edge_agent.serving.http.outbox import Outbox
from edge_agent.serving.http.response import Response
from edge_agent.serving.http.status import Refused, answer_to
from edge_agent.serving.http.terms import Later, Terms, Usual
from edge_agent.serving.port import Ticket

_log = logging.getLogger(__name__)
#: Once the first byte is there. Who has sent none may stay connected.
HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
#: For a client to take its answer.
ANSWER_SECONDS = 30.0
#: For a client to read why it was refused, while it still sends.
_LINGER_SECONDS = 2.0


class Connection:
    """Runs on the loop's thread, but for `respond`, which is for whoever has an answer, and a worker's turn at what was
    put off: `Custody` says how the threads stay out of each other's way."""

    __slots__ = (
        "_custody",
        "_deadline",
        "_habit",
        "_inbox",
        "_last",
        "_lends",
        "_loop",
        "_out",
        "_socket",
        "_terms",
        "_ticket",
        "closed",
        "idle_since",
    )

    def __init__(self, client: socket.socket, loop: Loop, terms: Terms) -> None:
        client.setblocking(False)
        self._socket = client
        self._loop = loop
        self._terms = terms
        self._custody = Custody(client, loop)
        self._habit = Habit(terms.usual)
        self._inbox = Inbox(client, terms, self._habit)
        self._out = Outbox(client)
        self._deadline = False
        self._ticket: Ticket | None = None
        self._last = False
        self._lends = False
        self.closed = False
        self.idle_since = time.monotonic()
        self._heard()
        self._custody.watch(self._ready)

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        custody, inbox = self._custody, self._inbox
        return not (custody.busy or self._out.left or inbox.rest or inbox.arriving or custody.closing)

    @property
    def lends(self) -> bool:
        """Whether memory was made for it, or is being made."""
        return self._lends

    @property
    def held_bytes(self) -> int:
        """What it keeps of a body until that is answered, of the requests behind it, and of an answer until that is
        taken. On any thread, where it is old as soon as it is read."""
        return self._inbox.held_bytes + self._out.held_bytes

    def fileno(self) -> int:
        """As a socket has it."""
        return self._socket.fileno()

    def close(self) -> None:
        """Ends it, and what is asked for on it."""
        if self.closed:
            return
        if not self._custody.leave():
            # Whoever uses it calls this again.
            return
        self.closed = True
        if self._custody.busy and self._ticket is not None:
            self._ticket.cancel()
        self._no_deadline()
        self._inbox.give_back()
        self._inbox.drop()
        self._out.close()
        self._socket.close()
        self._terms.crowd.left(self)
        self._terms.ended(self)

    def finish(self) -> None:
        """Ends it, with the answer that is under way if one is: the agent stops."""
        self._last = self._custody.closing = True
        if not (self._custody.busy or self._out.left):
            self.close()

    def _ready(self, events: int) -> None:
        try:
            if self._custody.busy:
                self._wait(events)
            elif self._out.left:
                self._send_more()
            elif self._inbox.arriving is not None:
                self._receive()
            else:
                self._read()
        except Exception as error:  # noqa: BLE001, whatever one client sends must not end what all are served by
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        match error:
            case Refused():
                self._refuse(error)
            case OSError():
                # The client is gone; there is nobody to tell.
                self.close()
            case _:
                _log.error("A connection is closed for a fault of the agent's own.", exc_info=error)
                self.close()

    def _wait(self, events: int) -> None:
        if events & GONE:
            self.close()
        elif self._custody.wait():
            self._resume()

    def _resume(self) -> None:
        """The answer is sent, and something came meanwhile."""
        if self._custody.busy or self.closed:
            return
        if self._custody.gone:
            self.close()
            return
        self._custody.resume()
        if self._inbox.rest and not self._out.left:
            rest, self._inbox.rest = self._inbox.rest, b""
            try:
                self._understand(rest)
            except Exception as error:  # noqa: BLE001, as in `_ready`
                self._broken(error)

    # --- reading

    def _read(self) -> None:
        rest, usual = self._inbox.rest, self._habit.usual
        known = None if rest or self._custody.closing else self._habit.known
        if known is not None and usual is not None and (later := usual.later) and self._put_off(known, later):
            return
        data: bytes | memoryview
        try:
            if known is None:
                data = self._socket.recv(FIRST_BYTES)
            else:
                room = known.room()
                data = room[: self._socket.recv_into(room)]
        except BlockingIOError:
            return
        if not data and b"\r\n\r\n" in rest and not self._custody.closing:
            # It sends no more, and still waits for what it has asked: that is next.
            self._resume()
        elif not data:
            self.close()
        elif self._custody.closing:
            # What is refused is read to its end, or the client would lose the answer that says why.
            return
        elif usual is not None and not rest and self._at_once(usual, data):
            return
        elif isinstance(data, bytes):
            self._understand(rest + data if rest else data)
        elif known is not None and (body := known.body(data)) is not None:
            self._take_known(known, body)
        else:
            self._understand(bytes(data))

    def _understand(self, data: bytes) -> None:
        is_more = bool(self._inbox.rest)
        request = self._inbox.understand(data)
        if request is not None:
            self._hand_over(*request)
        elif self._inbox.arriving is not None:
            self._until(BODY_SECONDS)
            self._expect_rest(self._heard())
        elif not is_more:
            self._until(HEAD_SECONDS)

    def _receive(self) -> None:
        alone = self._heard()
        request = self._inbox.receive()
        if request is not None:
            self._hand_over(*request)
        else:
            self._expect_rest(alone)

    def _expect_rest(self, alone: bool) -> None:
        """A client on this device is writing the rest of a body. Of many, others want the processor."""
        if alone:
            self._loop.expect()

    def _put_off(self, known: Known, usual: Later) -> bool:
        """Whether a request that seems to be the usual one is left where it is until a worker has time for it."""
        self.idle_since = now = time.monotonic()
        if not usual.waits(self._terms.crowd.alone(self, now)):
            return False
        # Before it is another's.
        self._custody.put_off()
        ticket = usual.wait(partial(self._begin_next, known, usual))
        if ticket is None:
            self._custody.keep()
            return False
        # It may be answered already: then this is of no use, and does no harm.
        self._ticket = ticket
        return True

    def _begin_next(self, known: Known, usual: Later, may_run: bool) -> None:
        """Reads what was put off, answers it, and listens for what comes next. On a worker's thread, whose the
        connection is until then."""
        try:
            if self._custody.take() and may_run:
                self._answer_next(known, usual)
                return
        except Refused as error:
            self._hand_back(partial(self._refuse, error))
            return
        except OSError:
            self._custody.gone = True
        except Exception:  # noqa: BLE001, as in `_ready`
            _log.exception("A connection is closed for a fault of the agent's own.")
            self._custody.gone = True
        self._ended()

    def _answer_next(self, known: Known, usual: Later) -> None:
        match unread.answer(self._socket, self._out, known, usual):
            case True:
                self._inbox.head_only = False
                if not self._custody.end_listening():
                    self._ended()
                elif self._custody.gone:
                    self._loop.soon(self.close)
            case False:
                self._inbox.head_only = False
                self._ended()
            case Response() as response:
                self._inbox.head_only = False
                self._tell(response)
            case Body() as body:
                self._hand_back(partial(self._take_known, known, body))
            case bytes() as rest:
                if not rest:
                    self._custody.gone = True
                self._inbox.rest = rest
                self._ended()
            case None:
                self._ended()
            case never:
                assert_never(never)

    def _hand_back(self, call: Callable[[], None]) -> None:
        """Has the loop's thread go on with what a worker could not answer."""
        self._custody.hand_back()
        self._loop.soon(partial(self._take_back, call))

    def _take_back(self, call: Callable[[], None]) -> None:
        if self._custody.gone:
            self.close()
            return
        try:
            call()
        except Exception as error:  # noqa: BLE001, as in `_ready`
            self._broken(error)

    def _take_known(self, known: Known, body: Body) -> None:
        """What could not be answered here and now."""
        self._inbox.head_only = False
        self._inbox.reserve(known.head.length)
        self._habit.keep(known, body)
        self._hand_over(known.head, body)

    def _hand_over(self, head: Head, body: Body) -> None:
        self._no_deadline()
        if not head.keep_alive:
            self._custody.closing = True
        self.idle_since = now = time.monotonic()
        self._ticket = None
        self._custody.busy = True
        self._ticket = self._terms.handle(head, body, self.respond, self._terms.crowd.alone(self, now))
        if not self._custody.busy:
            # Answered already: whoever asks the same way again and again does so at once.
            self._loop.expect()

    # --- answering

    def _at_once(self, usual: Usual, data: bytes | memoryview) -> bool:
        """Whether `data` is the client's usual request, and could be answered here and now."""
        self.idle_since = now = time.monotonic()
        answer = usual.answer(data, self._terms.crowd.alone(self, now))
        if answer is None:
            return False
        self._inbox.head_only = False
        try:
            if isinstance(answer, bytes):
                if not self._out.send(answer):
                    self._answered()
            else:
                self._custody.busy = True
                self.respond(answer)
        finally:
            usual.sent()
        self._loop.expect(time.monotonic() - now)
        return True

    def respond(self, response: Response) -> None:
        """Sends the answer to what was handed over last. On any thread."""
        if response.memory is not None:
            self._lends = True
            self._terms.lend(partial(self._lend, response, response.memory))
            return
        if self._custody.take():
            self._tell(response)
        else:
            self._ended()

    def _lend(self, response: Response, memory: Callable[[], Holding]) -> None:
        """The same with memory, on a thread that others need not wait for."""
        if self._custody.take():
            self._tell(self._out.with_memory(response, memory, closing=self._custody.closing))
        else:
            self._ended()

    def _tell(self, response: Response) -> None:
        self._inbox.give_back()
        if response.closes:
            self._custody.closing = True
        try:
            self._out.tell(response, closing=self._custody.closing, head_only=self._inbox.head_only)
        except OSError:
            self._custody.gone = True
        self._ended()

    def _ended(self) -> None:
        if not (self._custody.end() or self._out.left or self._inbox.rest):
            return
        if self._custody.gone:
            # Now, and not in the loop's time: what was made for who is gone may be waited for.
            self._out.close()
            self._loop.soon(self.close)
        else:
            self._loop.soon(self._answered)

    def _answered(self) -> None:
        if self._custody.busy or self.closed or self._inbox.arriving is not None:
            return
        if self._custody.gone:
            self.close()
        elif self._out.left:
            self._custody.wait_for_room()
            self._until(ANSWER_SECONDS)
        elif self._custody.closing:
            self._linger()
        else:
            self._resume()

    def _send_more(self) -> None:
        self._heard()
        if not self._out.send_more():
            return
        self._no_deadline()
        self._custody.listen()
        if self._custody.closing:
            self._linger()
        else:
            self._resume()

    def _refuse(self, error: Refused) -> None:
        """Answers a request that was not handed over."""
        self._no_deadline()
        self._inbox.drop()
        self._custody.closing = True
        self._custody.busy = True
        self.respond(answer_to(error))

    def _linger(self) -> None:
        """Closes once the client has: it may still be sending what nobody will read."""
        self._inbox.rest = b""
        if self._last:
            self.close()
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._custody.resume()
        self._until(_LINGER_SECONDS)

    # --- time

    def _until(self, seconds: float) -> None:
        self._deadline = True
        self._loop.at(time.monotonic() + seconds, self._late)

    def _no_deadline(self) -> None:
        if self._deadline:
            self._deadline = False
            self._loop.never(self._late)

    def _late(self) -> None:
        self._deadline = False
        if self._out.left or self._custody.closing or self.closed:
            self.close()
        else:
            self._refuse(Refused.late("The request did not arrive in time."))

    def _heard(self) -> bool:
        """This client is at something, so that no other takes itself to be alone. Whether it is."""
        return self._terms.crowd.alone(self, time.monotonic())

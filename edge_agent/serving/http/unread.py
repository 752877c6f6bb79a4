"""A request that is left unread until a worker has time for it, and then answered on the worker's thread."""

import socket
from typing import TypeAlias

from edge_agent.serving.http.body import Body
from edge_agent.serving.http.known import Known
from edge_agent.serving.http.outbox import Outbox
from edge_agent.serving.http.response import Response
from edge_agent.serving.http.terms import Later

#: Whether all of the answer could be sent. Or what is to be told; the body that is to be answered as any other; or what
#: was read, where that is another request or not all of one: nothing of it where the client is gone. None where nothing
#: has come.
Outcome: TypeAlias = bool | Response | Body | bytes | None


def answer(client: socket.socket, out: Outbox, known: Known, usual: Later) -> Outcome:
    """Reads what `client` has sent, which seems to be `known` once more, and has it answered by `usual`. On the thread
    that `Later.wait` has found, which alone uses them meanwhile. Raises `Refused`, and `OSError` where the client is
    gone."""
    theirs = usual.room()
    room = known.room() if theirs is None else theirs
    try:
        data = room[: client.recv_into(room)]
    except BlockingIOError:
        return None
    told = usual.answer_next(data)
    if isinstance(told, bytes):
        try:
            return out.send(told)
        finally:
            # Before another is read, which is asked of the same.
            usual.sent()
    if told is not None:
        usual.sent()
        return told
    body = known.body(data if theirs is None else known.copy(data))
    return bytes(data) if body is None else body

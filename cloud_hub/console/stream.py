"""The one stream of a page: it says which subjects changed, and the page fetches again what shows them.

It opens by naming all of them, so a change between rendering and connecting, or while the browser was away, is
never missed. It ends when the reader leaves or the hub stops.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from cloud_hub.changes import Changes
from cloud_hub.errors import Invalid

#: Shorter than any proxy's patience; it also finds readers who left without saying so.
KEEP_ALIVE_SECONDS = 15.0
MAX_SUBJECTS = 32
_KEEP_ALIVE = ": still here\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": "identity"}


def message(subjects: Iterable[str]) -> str:
    """One event of the stream."""
    return f"event: changed\ndata: {json.dumps(sorted(subjects))}\n\n"


async def events(
    changes: Changes, subjects: tuple[str, ...], keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncIterator[str]:
    """The stream's text: all subjects first, then each change, and a comment when nothing happens for a while."""
    watch = changes.watch(*subjects)
    waiting: asyncio.Task[set[str]] | None = None
    try:
        yield message(subjects)
        while True:
            # The wait outlives the time-out: cancelling it would end the watch.
            waiting = waiting or asyncio.ensure_future(anext(watch))
            done, _ = await asyncio.wait({waiting}, timeout=keep_alive_seconds)
            if not done:
                yield _KEEP_ALIVE
                continue
            try:
                changed = waiting.result()
            except StopAsyncIteration:
                return
            finally:
                waiting = None
            yield message(changed)
    finally:
        # Who cancels us cancels every further wait too, so nothing here may wait: a cancelled wait ends the watch.
        if waiting is not None:
            waiting.cancel()
        else:
            await watch.aclose()


def router(changes: Changes) -> APIRouter:
    """`GET /events?subjects=a,b`."""
    api = APIRouter(include_in_schema=False)

    @api.get("/events")
    async def stream(subjects: str) -> StreamingResponse:
        named = tuple(sorted({name for name in subjects.split(",") if name}))
        if not 1 <= len(named) <= MAX_SUBJECTS:
            raise Invalid(f"A stream watches 1 to {MAX_SUBJECTS} subjects, and {len(named)} were named.")
        return StreamingResponse(events(changes, named), media_type="text/event-stream", headers=_HEADERS)

    return api

"""The stream says what changed, never misses it, and ends when it should."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from cloud_hub.changes import Changes
from cloud_hub.console.stream import events, message


async def soon(stream: AsyncGenerator[str, None]) -> str:
    return await asyncio.wait_for(anext(stream), 2)


def test_it_opens_with_all_subjects_for_something_may_have_changed_before() -> None:
    async def story() -> None:
        async with aclosing(events(Changes(), ("devices", "rollouts"))) as stream:
            assert await soon(stream) == 'event: changed\ndata: ["devices", "rollouts"]\n\n'

    asyncio.run(story())


def test_it_tells_a_change_and_not_that_of_others() -> None:
    async def story() -> None:
        changes = Changes()
        async with aclosing(events(changes, ("rollout:a",))) as stream:
            await soon(stream)
            telling = asyncio.ensure_future(soon(stream))
            await asyncio.sleep(0.05)
            changes.bump("rollout:b", "devices")
            await asyncio.sleep(0.05)
            assert not telling.done()
            changes.bump("rollout:a")
            assert await telling == message(["rollout:a"])

    asyncio.run(story())


def test_it_says_that_it_is_still_here_and_then_still_tells() -> None:
    async def story() -> None:
        changes = Changes()
        async with aclosing(events(changes, ("devices",), keep_alive_seconds=0.02)) as stream:
            await soon(stream)
            assert [await soon(stream) for _ in range(3)] == [": still here\n\n"] * 3
            changes.bump("devices")
            said = [await soon(stream), await soon(stream)]
            assert message(["devices"]) in said

    asyncio.run(story())


def test_it_ends_when_the_hub_stops() -> None:
    async def story() -> None:
        changes = Changes()
        async with aclosing(events(changes, ("devices",))) as stream:
            await soon(stream)
            ending = asyncio.ensure_future(anext(stream, "end"))
            await asyncio.sleep(0.05)
            changes.close()
            assert await asyncio.wait_for(ending, 2) == "end"

    asyncio.run(story())


def test_a_reader_who_leaves_leaves_nothing_behind() -> None:
    async def story() -> None:
        changes = Changes()
        for waits in (True, False):
            stream = events(changes, ("devices",))
            await soon(stream)
            reading = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.05)
            if not waits:
                changes.bump("devices")
                await reading
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await stream.aclose()
            await asyncio.sleep(0.05)
            assert not changes._listeners

    asyncio.run(story())

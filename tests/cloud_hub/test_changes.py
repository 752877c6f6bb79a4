"""Who is told that something changed."""

import asyncio
import threading
import time

from cloud_hub import changes as changes_module
from cloud_hub.changes import COALESCE_SECONDS, Changes


def test_a_listener_hears_of_its_own_subjects_only() -> None:
    changes = Changes()
    with changes.listener("devices", "rollouts") as listener:
        changes.bump("devices", "device:gw-1")
        changes.bump("models")
        assert listener.wait(1) == {"devices"}
        assert listener.wait(0) == set()


def test_a_waiting_thread_is_woken() -> None:
    changes, heard = Changes(), []
    with changes.listener("devices") as listener:
        thread = threading.Thread(target=lambda: heard.append(listener.wait(10)))
        thread.start()
        changes.bump("devices")
        thread.join(5)
    assert heard == [{"devices"}]


def test_closing_ends_every_wait() -> None:
    changes, ended = Changes(), threading.Event()

    def wait() -> None:
        with changes.listener("devices") as listener:
            listener.wait(60)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    changes.close()
    thread.join(5)
    assert ended.is_set()


def test_closing_ends_every_watch_also_one_that_begins_later() -> None:
    async def story() -> None:
        changes = Changes()
        waiting = asyncio.ensure_future(anext(changes.watch("devices"), None))
        await asyncio.sleep(0.05)
        changes.close()
        assert await asyncio.wait_for(waiting, 5) is None
        assert [changed async for changed in changes.watch("devices")] == []

    asyncio.run(story())


def test_a_watch_tells_the_first_change_at_once_and_gathers_what_follows() -> None:
    async def story() -> None:
        changes, loop = Changes(), asyncio.get_running_loop()
        watch = changes.watch("devices", "models")
        first = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        began = loop.time()
        threading.Thread(target=changes.bump, args=("devices",)).start()
        assert await first == {"devices"}
        assert loop.time() - began < COALESCE_SECONDS
        second = asyncio.ensure_future(anext(watch))
        for _ in range(100):
            changes.bump("devices")
            changes.bump("models")
            await asyncio.sleep(0.001)
        assert await second == {"devices", "models"}
        assert loop.time() - began >= COALESCE_SECONDS
        changes.close()
        assert [one async for one in watch] == []

    asyncio.run(story())


def test_those_who_leave_are_forgotten() -> None:
    changes = Changes()
    with changes.listener("devices"):
        pass

    async def leave() -> None:
        watch = changes.watch("devices")
        changes_soon = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        changes.bump("devices")
        await changes_soon
        await watch.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert changes._listeners == set()
    assert changes_module.COALESCE_SECONDS <= 0.5

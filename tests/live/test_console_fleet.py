"""The console over a real hub and real agents, from the first token to a version that is stopped and reverted.

VEDETTE_SCREENSHOT=FILE keeps a picture of the fleet's page there: that is how docs/console.png is made.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.built import Digits, digits  # noqa: F401
from tests.fleet.world import Agent, Hub, eventually, make_agent
from tests.live.browser import chromium, watched

pytestmark = [pytest.mark.live, pytest.mark.timeout(1800)]

SITES = ("lyon", "graz", "oulu")
QUICK = {"waves": [{"devices": 1}, {"percent": 50}, {"percent": 100}], "soak_seconds": 2, "minimum_records": 200}

#: Until the charts tell the story.
_PICTURE_AFTER_MS = 45_000


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path)
    yield hub
    hub.client.close()
    hub.stop()


def settled(hub: Hub, rollout: str, *states: str) -> str:
    def state() -> str | None:
        found = hub.client.rollouts.get(rollout).state
        return found if found in states else None

    return eventually(state, f"rollout {rollout} is {' or '.join(states)}", pause=0.5)


def test_a_fleet_is_watched_from_its_first_device_to_a_reverted_rollout(
    hub: Hub,
    digits: Digits,  # noqa: F811
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        browser = stack.enter_context(chromium())
        seen = stack.enter_context(watched(browser, width=1280, height=1080))
        page = seen.open(hub.url)
        seen.live()
        expect(page.locator("main")).to_contain_text("vedette devices token")

        for line in (1, 2):
            for place, site in enumerate(SITES):
                target = "cpu-avx2" if (line + place) % 2 else "cpu-vnni"
                labels = {"site": site, "line": str(line)}
                name = f"{site}-line-{line}"
                agent = make_agent(hub, tmp_path, digits.replay, name, labels, target, rate_per_second=60)
                stack.callback(Agent.stop, agent)
        expect(page.locator("#figures")).to_contain_text("6 of 6")
        expect(page.get_by_text("vedette devices token")).to_be_hidden()

        good = hub.client.models.register(digits.good, notes="all scans")
        first = hub.client.rollouts.create("digits", good.version, QUICK)
        expect(page.locator("#rollouts")).to_contain_text("digits v1")
        assert settled(hub, first.id, "completed", "reverted") == "completed"
        expect(page.locator("#versions")).to_contain_text("6 devices")
        expect(page.locator("#charts .plot-legend").first).to_contain_text("digits v1")

        bad = hub.client.models.register(digits.worse, notes="only 0, 1, 2 and 3")
        second = hub.client.rollouts.create("digits", bad.version, QUICK)
        assert settled(hub, second.id, "completed", "reverted") == "reverted"
        expect(page.locator("#rollouts")).to_contain_text("reverted")
        expect(page.locator("#charts .plot-legend").first).to_contain_text("digits v2")
        expect(page.locator("#versions")).to_contain_text("6 devices")
        expect(page.locator("#decisions li").first).to_contain_text("reverted")
        if picture := os.environ.get("VEDETTE_SCREENSHOT"):
            page.wait_for_timeout(_PICTURE_AFTER_MS)
            page.screenshot(path=picture)

        seen.open(f"{hub.url}/rollouts/{second.id}")
        expect(page.locator("#top .notice")).to_contain_text("%")
        expect(page.locator("#gates")).to_contain_text("fail")
        expect(page.locator("#distribution svg").first).to_be_visible()
        assert not seen.failures()
        for path in ("/devices", "/devices/lyon-line-1", "/models", "/models/digits", "/rollouts", "/lake"):
            seen.open(hub.url + path)
            assert not seen.failures(), path
        page.get_by_role("link", name="How much did each version do").click()
        expect(page.locator("section[aria-label=Answer] tbody tr")).to_have_count(2)
        assert "Incident" not in hub.log

"""What the tests of the console share: a browser, and the console of a fleet that exists on paper."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.fakes.console_server import Served, now, serving
from tests.fakes.paper_fleet import busy_hub
from tests.live.browser import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def fleet() -> Iterator[Served]:
    with serving(busy_hub(now)) as served:
        yield served

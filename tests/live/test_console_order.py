"""What was typed last is what is shown, in whichever order a slow hub answers; and no change is lost by it.

The page's clock stands still here, and its requests wait until they are let go: nothing depends on how fast a
machine is. So long as less than a minute goes by in a test, no request is given up.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fakes.console_server import Served
from tests.live.browser import Watched, watched

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

#: Each request waits for `go`; `by` is the element that asked, `text` all that was asked, `over` when the page is
#: through with it.
HELD = """() => {
    const fetched = window.fetch;
    window.asked = [];
    window.fetch = (url, how) => new Promise((answer, fail) => {
        const text = [url, ...(how.body?.values() ?? [])].join(" ");
        const one = { how, text, by: how.headers["HX-Source"], fail, go: () => fetched(url, how).then(answer, fail) };
        one.over = new Promise((over) => { one.end = over; });
        how.signal.addEventListener("abort", () => { one.dropped = true; fail(how.signal.reason); });
        window.asked.push(one);
    });
    document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
        window.asked.find((one) => one.how === ctx.request)?.end();
    });
}"""
#: Longer than the lists here wait before they ask.
AGES_MS = 10_000


class Slow:
    """A page whose requests are answered when, and in the order that, a test says."""

    def __init__(self, seen: Watched) -> None:
        self.seen, self.page = seen, seen.page

    def type(self, where: str, text: str) -> None:
        """Types, and waits until it was time to ask for it."""
        self.page.locator(where).first.fill(text)
        self.page.clock.run_for(1000)

    def change(self, subject: str) -> None:
        """The stream says that `subject` changed."""
        said = f'document.dispatchEvent(new CustomEvent("changed", {{detail: {{data: \'["{subject}"]\'}}}}))'
        self.page.evaluate(said)

    def asked(self, number: int) -> str:
        """What the request is about; there are `number` + 1 by now, however long is waited."""
        self.page.clock.run_for(AGES_MS)
        assert self.page.evaluate("window.asked.length") == number + 1, self.page.evaluate(
            "window.asked.map((one) => one.by + ' ' + one.text)"
        )
        return str(self.page.evaluate(f"window.asked[{number}].text"))

    @property
    def requests(self) -> int:
        return int(self.page.evaluate("window.asked.length"))

    def dropped(self, number: int) -> bool:
        return bool(self.page.evaluate(f"window.asked[{number}].dropped"))

    def answer(self, number: int) -> None:
        """Lets the hub answer it, and the page show that."""
        self._end(number, "go()")

    def fail(self, number: int) -> None:
        """Nothing answers it."""
        self._end(number, 'fail(new TypeError("Failed to fetch"))')
        assert "Failed to fetch" in " ".join(self.seen.complaints)
        self.seen.complaints.clear()

    def _end(self, number: int, how: str) -> None:
        self.page.evaluate(f"() => {{ const one = window.asked[{number}]; one.{how}; return one.over; }}")


@contextmanager
def slow(browser: Browser, url: str) -> Iterator[Slow]:
    """The page at `url`. Its stream never opens: a test says itself what changed."""
    with watched(browser) as seen:
        seen.page.route("**/events?*", lambda _: None)
        seen.page.clock.install()
        page = seen.open(url)
        page.clock.pause_at(page.evaluate("Date.now() / 1000 + 1"))
        page.evaluate(HELD)
        yield Slow(seen)


TYPED = {
    "/manifests": "textarea[name=text]",
    "/rollouts/new?model=digits": "form [name=selector]",
    "/cohorts": "form [name=selector]",
    "/cohorts/lyon": "form [name=selector]",
    "/pins": "form [name=selector]",
    "/devices": "input[name=q]",
    "/audit": "input[name=q]",
}


@pytest.mark.parametrize("path", TYPED)
def test_what_was_typed_last_is_what_is_answered(browser: Browser, fleet: Served, path: str) -> None:
    with slow(browser, fleet.url + path) as page:
        for number, text in enumerate(("first", "second", "third")):
            page.type(TYPED[path], text)
            assert text in page.asked(number)
        assert [page.dropped(number) for number in range(3)] == [True, True, False]
        page.answer(2)


#: How each list that is live is narrowed, so that it has fewer rows: where, by what, and how many there are then.
LISTS = {
    "/devices": ("input[name=q]", "lyon", 14, "devices"),
    "/rollouts": ("select[name=state]", "running", 2, "rollouts"),
}


def narrow(page: Page, where: str, by: str) -> None:
    field = page.locator(where)
    if where.startswith("select"):
        field.select_option(by)
    else:
        field.fill(by)


@pytest.mark.parametrize("path", LISTS)
def test_a_refresh_that_comes_late_brings_no_older_filter_back(browser: Browser, fleet: Served, path: str) -> None:
    where, by, rows, subject = LISTS[path]
    with slow(browser, fleet.url + path) as page:
        page.change(subject)
        assert by not in page.asked(0)
        narrow(page.page, where, by)
        assert by in page.asked(1)
        page.answer(1)
        expect(page.page.locator("tbody tr")).to_have_count(rows)
        page.answer(0)
        page.change(subject)
        assert by in page.asked(2), "the page is refreshed as it is narrowed down now"
        page.answer(2)
        expect(page.page.locator("tbody tr")).to_have_count(rows)


@pytest.mark.parametrize("path", LISTS)
def test_a_change_while_a_filter_is_answered_is_fetched_afterwards(browser: Browser, fleet: Served, path: str) -> None:
    where, by, rows, subject = LISTS[path]
    with slow(browser, fleet.url + path) as page:
        narrow(page.page, where, by)
        assert by in page.asked(0)
        page.change(subject)
        assert by in page.asked(0), "it waits for the answer"
        page.answer(0)
        expect(page.page.locator("tbody tr")).to_have_count(rows)
        assert by in page.asked(1)
        page.answer(1)
        expect(page.page.locator("tbody tr")).to_have_count(rows)
        assert by in page.asked(1), "nothing is left to fetch"


def test_a_change_while_another_is_fetched_is_fetched_afterwards(browser: Browser, fleet: Served) -> None:
    with slow(browser, f"{fleet.url}/devices") as page:
        page.change("devices")
        page.asked(0)
        page.change("devices")
        page.change("devices")
        page.asked(0)
        page.answer(0)
        page.asked(1)
        page.answer(1)
        page.asked(1)


def test_a_filter_that_was_asked_for_in_vain_is_asked_for_again(browser: Browser, fleet: Served) -> None:
    with slow(browser, f"{fleet.url}/devices") as page:
        page.type("input[name=q]", "lyon")
        page.asked(0)
        page.fail(0)
        assert "lyon" in page.asked(1)
        page.fail(1)
        page.page.get_by_label("Version").fill("not a number")
        page.page.clock.run_for(1000)
        assert "lyon" not in page.asked(2), "what cannot be asked keeps no change from being shown"
        page.answer(2)
        page.page.get_by_label("Version").fill("")
        assert "lyon" in page.asked(3)
        page.answer(3)
        expect(page.page.locator("tbody tr")).to_have_count(14)


def test_a_change_that_could_not_be_fetched_is_fetched_again(browser: Browser, fleet: Served) -> None:
    with slow(browser, f"{fleet.url}/devices") as page:
        page.change("devices")
        page.asked(0)
        fleet.hub.devices.change("gdansk-line1-08", presence="lost")
        page.fail(0)
        page.asked(1)
        page.answer(1)
        expect(page.page.locator("#device-gdansk-line1-08")).to_contain_text("lost")


def test_a_hub_that_does_not_answer_is_asked_less_and_less_often_until_it_does(browser: Browser, fleet: Served) -> None:
    with slow(browser, f"{fleet.url}/devices") as page:
        page.page.evaluate("Math.random = () => 0.5")
        page.change("devices")
        page.asked(0)
        for number, seconds in enumerate((3.75, 7.5, 15, 30, 37.5, 37.5)):
            page.fail(number)
            page.change("devices")
            page.page.clock.run_for(1000 * seconds - 100)
            assert page.requests == number + 1
            page.page.clock.run_for(200)
            assert page.requests == number + 2
        page.answer(6)
        page.change("devices")
        page.asked(7)
        page.fail(7)
        page.page.clock.run_for(3_800)
        assert page.requests == 9


def test_another_model_brings_its_versions_and_leaves_what_is_typed_meanwhile(browser: Browser, fleet: Served) -> None:
    with slow(browser, f"{fleet.url}/rollouts/new?model=digits") as page:
        selector = page.page.get_by_label("Selector", exact=True)
        page.type("form [name=selector]", "site = lyon")
        page.page.get_by_label("Model").select_option("vibration")
        page.asked(1)
        assert page.dropped(0), "no plan of the model before comes late"
        selector.fill("site = oslo")
        page.page.get_by_label("Soak").fill("30")
        page.answer(1)
        expect(selector).to_have_value("site = oslo")
        page.asked(2)
        page.answer(2)
        expect(page.page.get_by_label("Version").locator("option").first).to_contain_text("v1")
        expect(page.page.locator("#plan")).to_contain_text("vibration v1")
        expect(selector).to_have_value("site = oslo")
        expect(page.page.get_by_label("Soak")).to_have_value("30")


def test_the_first_model_brings_the_form(browser: Browser, fleet: Served) -> None:
    with slow(browser, f"{fleet.url}/rollouts/new") as page:
        page.page.get_by_label("Model").select_option("digits")
        page.asked(0)
        page.answer(0)
        expect(page.page.locator("#plan")).to_contain_text("The selector means 42 devices")
        page.type("form [name=selector]", "site = lyon")
        page.asked(1)
        page.answer(1)
        expect(page.page.locator("#plan")).to_contain_text("The selector means 14 devices")
        page.page.get_by_label("Model").select_option("")
        page.asked(2)
        page.answer(2)
        expect(page.page.locator("#plan")).to_have_count(0)

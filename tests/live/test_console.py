"""The console in a real browser, over a paper fleet: what people see, live, with and without scripts.

VEDETTE_SCREENSHOTS=FOLDER keeps pictures of every page there.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from cloud_hub.because import BecauseView
from tests.fakes.console_server import Served, now, serving
from tests.fakes.paper_fleet import busy_hub, empty_hub
from tests.fakes.waiting import until
from tests.live.browser import watched

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

PAGES = {
    "fleet": "/",
    "devices": "/devices",
    "device": "/devices/gdansk-line1-08",
    "models": "/models",
    "model": "/models/digits",
    "rollouts": "/rollouts",
    "running": "/rollouts/digits-3-q7f2",
    "paused": "/rollouts/vibration-1-h8tt",
    "reverted": "/rollouts/digits-2-k9zr",
    "completed": "/rollouts/digits-1-x2ma",
    "stopped": "/rollouts/bearing-1-t0pp",
    "approval": "/rollouts/bearing-2-w4it",
    "new": "/rollouts/new?model=digits&selector=site+%3D+lyon",
    "wrong": "/rollouts/new?model=digits&selector=site+%3D%3D+lyon+or&soak_seconds=-3",
    "manifests": "/manifests",
    "cohorts": "/cohorts?selector=site+%3D+lyon",
    "cohort": "/cohorts/lyon",
    "pins": "/pins?selector=site+%3D%3D+lyon+or",
    "join": "/join",
    "labels": "/labels?model=digits",
    "audit": "/audit",
    "lake": "/lake?sql=SELECT+1",
}
LOOKS = (("light", 1320), ("dark", 1320), ("light", 390))


def drawn(page: Page) -> None:
    for chart in page.locator("v-chart").all():
        expect(chart.locator("canvas")).to_be_visible()


@pytest.mark.parametrize(("theme", "width"), LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_readable_and_accessible(
    browser: Browser, fleet: Served, name: str, theme: str, width: int
) -> None:
    with watched(browser, width=width, theme=theme) as seen:
        page = seen.open(fleet.url + PAGES[name])
        drawn(page)
        if page.locator("[data-connection]").count():
            seen.live()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "it must not scroll sideways"
        assert not seen.failures()
        if folder := os.environ.get("VEDETTE_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"{name}-{theme}-{width}.png", full_page=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["approval", "stopped"])
def test_what_each_button_would_do_is_readable_and_accessible(
    browser: Browser, fleet: Served, name: str, theme: str
) -> None:
    with watched(browser, theme=theme) as seen:
        buttons = seen.open(fleet.url + PAGES[name]).locator(".confirm > summary").all()
        assert buttons
        for button in buttons:
            button.click()
        assert not seen.failures()


@pytest.mark.parametrize("path", ["/", "/devices", "/models", "/rollouts", "/lake"])
def test_an_empty_hub_is_accessible_too(browser: Browser, path: str) -> None:
    with serving(empty_hub(now)) as served, watched(browser) as seen:
        seen.open(served.url + path)
        assert not seen.failures()


def test_a_change_is_shown_without_loading_the_page_again(browser: Browser, fleet: Served) -> None:
    with watched(browser) as seen:
        page = seen.open(f"{fleet.url}/rollouts/digits-3-q7f2")
        seen.live()
        page.evaluate("window.sameDocument = true")
        said = "Gate predictions failed: the share of label 1 moved by 31 points."
        fleet.hub.rollouts.decide("digits-3-q7f2", BecauseView(code="gate-failed", sentence=said), state="reverting")
        expect(page.locator("#top .notice")).to_contain_text(said)
        expect(page.locator("#decisions li").first).to_contain_text(said)
        expect(page.locator(".actions")).to_have_count(0)
        assert page.evaluate("window.sameDocument")


def test_a_fleet_that_comes_to_life_is_watched_from_one_page(browser: Browser) -> None:
    hub, later = empty_hub(now), busy_hub(now)
    with serving(hub) as served, watched(browser) as seen:
        page = seen.open(served.url)
        seen.live()
        hub.devices.devices, hub.monitoring.running = later.devices.devices, later.monitoring.running
        hub.releases.versions_of = later.releases.versions_of
        hub.changes.bump("devices", "telemetry", "models")
        expect(page.locator("#figures")).to_contain_text("37 of 42")
        expect(page.locator("#versions")).to_contain_text("36 devices")
        expect(page.locator("#charts .plot-legend").first).to_contain_text("digits v3")


def test_a_change_between_loading_and_connecting_is_not_missed(browser: Browser, fleet: Served) -> None:
    with watched(browser) as seen:
        page = seen.page

        def late(route: object) -> None:
            fleet.hub.devices.change("lyon-line1-00", presence="lost")
            fleet.hub.changes.bump("devices", "device:lyon-line1-00")
            route.continue_()  # type: ignore[attr-defined]

        page.route("**/events?*", late)
        seen.open(f"{fleet.url}/devices/lyon-line1-00")
        expect(page.locator("h1 + span")).to_have_text("lost")


def test_a_hub_that_comes_back_is_found_again_with_what_happened_meanwhile(browser: Browser) -> None:
    hub = busy_hub(now)
    with watched(browser) as seen:
        with serving(hub) as served:
            page = seen.open(f"{served.url}/devices/lyon-line1-00")
            seen.live()
            port = int(served.url.rpartition(":")[2])
        expect(page.locator("[data-connection]")).to_have_text("Reconnecting")
        hub.devices.change("lyon-line1-00", presence="lost")
        with serving(busy_again(hub), port=port):
            expect(page.locator("h1 + span")).to_have_text("lost")
            expect(page.locator("[data-connection]")).to_have_text("Live")
            # Before this hub stops, too.
            page.goto("about:blank")
        # Every connection that was refused is told of; that is what was asked for here.
        refused = ("ERR_", "Failed to fetch", "network error")
        seen.complaints[:] = [one for one in seen.complaints if not any(word in one for word in refused)]


def busy_again(hub: object) -> object:
    """The same fleet behind a hub that has been started anew."""
    fresh = empty_hub(now)
    fresh.devices, fresh.releases, fresh.monitoring = hub.devices, hub.releases, hub.monitoring  # type: ignore[attr-defined]
    fresh.rollouts.rollouts, fresh.rollouts.decided = hub.rollouts.rollouts, hub.rollouts.decided  # type: ignore[attr-defined]
    return fresh


def test_what_a_person_is_doing_survives_an_update(browser: Browser, fleet: Served) -> None:
    with watched(browser) as seen:
        page = seen.open(f"{fleet.url}/rollouts/digits-3-q7f2")
        seen.live()
        page.get_by_text("Abort…").click()
        reason = page.locator('form[action$="/abort"] input[name=reason]')
        reason.fill("half a sen")
        fleet.hub.rollouts.decide("digits-3-q7f2", BecauseView(code="x", sentence="Something else happened."))
        expect(page.locator("#top .notice")).to_contain_text("Something else happened.")
        expect(reason).to_have_value("half a sen")
        expect(reason).to_be_focused()
        reason.press_sequentially("tence")
        page.get_by_role("button", name="Abort the rollout and go back").click()
        expect(page.locator("#top .badge").first).to_have_text("reverting")
        assert fleet.hub.rollouts.asked == [("digits-3-q7f2", "abort", "half a sentence")]


def test_typing_narrows_the_list_and_the_address_follows(browser: Browser, fleet: Served) -> None:
    with watched(browser) as seen:
        page = seen.open(f"{fleet.url}/devices")
        seen.live()
        page.get_by_label("Search").press_sequentially("gdansk", delay=30)
        expect(page.locator("tbody tr")).to_have_count(14)
        expect(page).to_have_url(f"{fleet.url}/devices?q=gdansk")
        page.get_by_label("Presence").select_option("lost")
        expect(page.locator("tbody tr")).to_have_count(1)
        fleet.hub.devices.change("gdansk-line1-08", presence="lost")
        fleet.hub.changes.bump("devices")
        expect(page.locator("tbody tr")).to_have_count(2)
        page.reload()
        expect(page.locator("tbody tr")).to_have_count(2)
        expect(page.get_by_label("Search")).to_have_value("gdansk")


def test_a_rollout_is_planned_while_it_is_typed_and_then_started(browser: Browser, fleet: Served) -> None:
    with watched(browser) as seen:
        page = seen.open(f"{fleet.url}/rollouts/new")
        page.evaluate("window.sameDocument = true")
        page.get_by_label("Model").select_option("digits")
        plan = page.locator("#plan")
        expect(plan).to_contain_text("The selector means 42 devices")
        selector = page.get_by_label("Selector", exact=True)
        selector.press_sequentially("site = lyon and", delay=20)
        expect(plan).to_contain_text("wrong at column 16")
        expect(plan.get_by_role("button", name="Start the rollout")).to_have_count(0)
        selector.press_sequentially(" target = cpu-avx2", delay=20)
        expect(plan).to_contain_text("The selector means 7 devices")
        expect(selector).to_be_focused()
        page.get_by_label("Version").select_option("1")
        expect(plan).to_contain_text("digits v1")
        assert page.evaluate("window.sameDocument")
        page.reload()
        expect(selector).to_have_value("site = lyon and target = cpu-avx2")
        page.get_by_label("Your name, for the history").fill("maria")
        page.get_by_role("button", name="Start the rollout").click()
        expect(page.locator("#top .badge").first).to_have_text("running")
        ((wanted, origin),) = fleet.hub.rollouts.created
        assert (wanted.version, wanted.policy.selector, origin.by) == (1, "site = lyon and target = cpu-avx2", "maria")


def test_a_rollout_is_started_without_scripts_after_a_mistake(browser: Browser, fleet: Served) -> None:
    with watched(browser, scripts=False) as seen:
        page = seen.open(f"{fleet.url}/models/digits")
        page.get_by_role("link", name="Roll out…").first.click()
        page.get_by_label("Selector", exact=True).fill("site = lyon")
        page.get_by_label("Soak").fill("a while")
        page.get_by_role("button", name="Update the plan").click()
        expect(page.get_by_label("Soak")).to_have_value("a while")
        expect(page.locator("#f-soak_seconds-said")).to_contain_text("'a while' is no number.")
        page.get_by_label("Soak").fill("30")
        page.get_by_role("button", name="Update the plan").click()
        expect(page.locator("#plan")).to_contain_text("The selector means 14 devices")
        page.get_by_role("button", name="Start the rollout").click()
        expect(page.locator("#top .badge").first).to_have_text("running")
        ((wanted, _),) = fleet.hub.rollouts.created
        assert (wanted.policy.selector, wanted.policy.soak_seconds) == ("site = lyon", 30)


def test_a_selector_is_counted_while_it_is_typed_then_saved_and_pinned(browser: Browser, fleet: Served) -> None:
    with watched(browser) as seen:
        page = seen.open(f"{fleet.url}/cohorts")
        seen.live()
        page.get_by_label("Name", exact=True).fill("turin")
        selector, meant = page.get_by_label("Selector", exact=True), page.locator("#meant")
        selector.press_sequentially("site =", delay=20)
        expect(meant).to_contain_text("wrong at column 7")
        selector.press_sequentially(" turin", delay=20)
        expect(meant).to_contain_text("14 devices")
        expect(selector).to_be_focused()
        page.get_by_label("Your name, for the history").fill("maria")
        page.get_by_role("button", name="Save the cohort").click()
        expect(page.locator("#rows")).to_contain_text("turin")
        page.get_by_role("link", name="turin", exact=True).click()
        page.get_by_role("link", name="Pin them…").click()
        expect(page.locator("#meant")).to_contain_text("14 devices")
        page.get_by_role("button", name="Pin", exact=True).click()
        expect(page.get_by_label("Why")).to_have_attribute("aria-invalid", "true")
        assert "422" in " ".join(seen.complaints)
        seen.complaints.clear()
        page.get_by_label("Why").fill("the line is rebuilt")
        page.get_by_role("button", name="Pin", exact=True).click()
        expect(page.locator("#rows")).to_contain_text("the line is rebuilt")
        (pin,) = fleet.hub.pins.pinned
        assert (pin.selector, pin.by) == ("cohort:turin", "maria")
        page.get_by_text("Unpin…").click()
        page.get_by_role("button", name="Unpin it").click()
        expect(page.locator("#rows")).to_contain_text("Nothing is pinned")
        assert fleet.hub.pins.pinned == []


MANIFEST = """\
apiVersion: vedette/v1
kind: Rollout
metadata:
  name: digits-lyon
spec:
  model: digits
  version: 1
  selector: site = lyon
"""


@pytest.mark.parametrize(("theme", "width"), [*LOOKS, ("dark", 390)])
def test_a_manifest_is_compared_while_it_is_typed_and_applied_as_it_was_shown(
    browser: Browser, fleet: Served, tmp_path: Path, theme: str, width: int
) -> None:
    with watched(browser, width=width, theme=theme) as seen:

        def looked_at(name: str) -> None:
            assert page.evaluate("document.documentElement.scrollWidth") <= width, "it must not scroll sideways"
            assert not seen.failures()
            if folder := os.environ.get("VEDETTE_SCREENSHOTS"):
                page.screenshot(path=Path(folder) / f"manifest-{name}-{theme}-{width}.png", full_page=True)

        page = seen.open(f"{fleet.url}/rollouts")
        page.get_by_role("link", name="From a manifest").click()
        text, plan = page.get_by_role("textbox", name="manifest.yaml"), page.locator("#plan")
        text.fill(MANIFEST.replace("version: 1", "version: one"))
        expect(plan).to_contain_text("manifest.yaml:7:3 spec.version")
        expect(page.locator(".gutter .wrong")).to_have_text("7")
        looked_at("wrong")
        plan.get_by_role("link", name="manifest.yaml:7:3").click()
        expect(text).to_be_focused()
        assert text.evaluate("(text) => text.value.slice(text.selectionStart).split('\\n')[0]") == "version: one"
        text.fill(MANIFEST)
        expect(plan).to_contain_text("digits-lyon is new: a rollout starts for 14 devices")
        expect(page.locator(".gutter .wrong")).to_have_count(0)
        looked_at("new")
        page.get_by_label("Your name, for the history").fill("maria")
        page.get_by_role("button", name="Start 1 rollout").click()
        expect(page.locator("#top .head")).to_contain_text("from the manifest digits-lyon")
        ((wanted, origin),) = fleet.hub.rollouts.created
        assert (wanted.version, wanted.policy.selector, origin.by) == (1, "site = lyon", "maria")

        changed = tmp_path / "lyon.yaml"
        changed.write_text(f"{MANIFEST}  soak_seconds: 600\n")
        page.goto(f"{fleet.url}/manifests")
        page.get_by_label("Or choose files").set_input_files(changed)
        expect(page.get_by_role("textbox", name="lyon.yaml")).to_have_value(changed.read_text())
        expect(plan).to_contain_text("spec.soak_seconds60 → 600")
        plan.get_by_text("As a diff").click()
        looked_at("changed")
        fleet.hub.rollouts.decide("digits-new", BecauseView(code="x", sentence="Stopped."), state="stopped")
        page.get_by_role("button", name="Start 1 rollout").click()
        expect(plan.get_by_role("alert")).to_contain_text("would do something else than what was shown")
        expect(plan).to_contain_text("digits-new (version 1, stopped)")
        looked_at("stale")
        assert len(fleet.hub.rollouts.created) == 1
        assert "412" in " ".join(seen.complaints)
        seen.complaints.clear()
        page.get_by_role("button", name="Start 1 rollout").click()
        expect(page).to_have_url(f"{fleet.url}/rollouts/digits-new2")


def test_a_manifest_is_applied_without_scripts_after_a_mistake(browser: Browser, fleet: Served) -> None:
    with watched(browser, scripts=False) as seen:
        page = seen.open(f"{fleet.url}/manifests")
        text, show = page.get_by_role("textbox", name="manifest.yaml"), page.get_by_role("button", name="Show what")
        text.fill(f"{MANIFEST}  soak_second: 5\n")
        show.click()
        expect(page.locator("#plan")).to_contain_text("Did you mean 'soak_seconds'?")
        expect(page.locator(".gutter .wrong")).to_have_text("9")
        expect(text).to_have_value(f"{MANIFEST}  soak_second: 5\n")
        text.fill(MANIFEST)
        show.click()
        page.get_by_role("button", name="Start 1 rollout").click()
        expect(page.locator("#top .head")).to_contain_text("from the manifest digits-lyon")
        assert len(fleet.hub.rollouts.created) == 1


def test_the_theme_is_kept_and_charts_follow_it(browser: Browser, fleet: Served) -> None:
    with watched(browser, theme="light") as seen:
        page = seen.open(fleet.url)
        drawn(page)
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_label("Light or dark").click()
        dark = page.evaluate(ground)
        assert dark != light
        drawn(page)
        page.reload()
        assert page.evaluate(ground) == dark


def test_everything_can_be_read_and_done_without_scripts(browser: Browser, fleet: Served) -> None:
    with watched(browser, scripts=False) as seen:
        page = seen.open(fleet.url)
        expect(page.locator("v-chart").first).to_contain_text("a second.")
        page.locator(".bar").get_by_role("link", name="Devices").click()
        expect(page.locator("tbody tr")).to_have_count(42)
        page.get_by_label("Search").fill("lyon")
        page.get_by_role("button", name="Filter").click()
        expect(page.locator("tbody tr")).to_have_count(14)
        page.locator(".bar").get_by_role("link", name="Rollouts").click()
        page.locator("tbody a", has_text="digits v3").click()
        page.get_by_text("Pause…").click()
        page.get_by_role("button", name="Pause the rollout").click()
        expect(page.locator("#top .badge").first).to_have_text("paused")
        assert fleet.hub.rollouts.asked == [("digits-3-q7f2", "pause", "")]


def test_signing_in_and_a_session_that_ends_meanwhile(browser: Browser) -> None:
    with serving(busy_hub(now), token="a-long-and-random-token") as served, watched(browser) as seen:
        page = seen.open(f"{served.url}/devices?q=lyon")
        assert not seen.failures()
        page.get_by_label("API token").fill("a-long-and-random-token")
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("tbody tr")).to_have_count(14)
        seen.live()
        page.context.clear_cookies()
        served.hub.changes.bump("devices")
        expect(page.get_by_label("API token")).to_be_visible()
        assert "401" in " ".join(seen.complaints)
        seen.complaints.clear()


def test_a_browser_that_leaves_is_forgotten(browser: Browser, fleet: Served) -> None:
    with watched(browser) as seen:
        seen.open(fleet.url)
        page = seen.live()
        assert len(fleet.hub.changes._listeners) == 1
        page.goto(f"{fleet.url}/login?to=/lake")
        fleet.hub.changes.bump("devices", "rollouts", "telemetry")
        until(lambda: not fleet.hub.changes._listeners)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_file_of_megabytes_costs_nothing_that_was_typed(browser: Browser, fleet: Served, scripts: bool) -> None:
    large = {"name": "core.yaml", "mimeType": "text/yaml", "buffer": b"#" * 9 * 1024 * 1024}
    with watched(browser, scripts=scripts) as seen:
        page = seen.open(f"{fleet.url}/manifests")
        text = page.get_by_role("textbox", name="manifest.yaml")
        text.fill(MANIFEST)
        page.get_by_label("Or choose files").set_input_files(large)  # type: ignore[arg-type]
        if not scripts:
            page.get_by_role("button", name="Show what would change").click()
        said = "No manifest is so large" if scripts else "core.yaml has 9,437,184 bytes"
        expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible()
        expect(text).to_have_value(MANIFEST)
        expect(page.get_by_label("Or choose files")).to_have_value("")
        expect(page.locator("#plan")).to_contain_text("digits-lyon is new")


def test_a_file_stands_beside_what_was_typed_under_its_name(browser: Browser, fleet: Served, tmp_path: Path) -> None:
    file = tmp_path / "manifest.yaml"
    file.write_text(MANIFEST.replace("lyon", "turin"))
    with watched(browser) as seen:
        page = seen.open(f"{fleet.url}/manifests")
        page.get_by_role("textbox", name="manifest.yaml").fill(MANIFEST)
        page.get_by_label("Or choose files").set_input_files(file)
        expect(page.get_by_role("textbox", name="manifest-2.yaml")).to_have_value(file.read_text())
        expect(page.get_by_role("textbox", name="manifest.yaml")).to_have_value(MANIFEST)
        expect(page.get_by_role("status").filter(has_text="the file stands beside it")).to_be_visible()
        assert not seen.failures()
        file.write_text(MANIFEST.replace("lyon", "graz"))
        page.get_by_role("button", name="Leave it out").first.click()
        expect(page.get_by_role("textbox")).to_have_count(2)


@pytest.mark.parametrize(("theme", "width"), [*LOOKS, ("dark", 390)])
def test_a_token_is_made_and_copied_with_its_command(browser: Browser, fleet: Served, theme: str, width: int) -> None:
    with watched(browser, width=width, theme=theme) as seen:
        page = seen.open(f"{fleet.url}/devices")
        page.get_by_role("link", name="Join a device").click()
        page.get_by_label("Device id").fill("Press 07")
        page.get_by_role("button", name="Make a token").click()
        expect(page.get_by_label("Device id")).to_have_attribute("aria-invalid", "true")
        assert "422" in " ".join(seen.complaints)
        seen.complaints.clear()
        page.get_by_label("Device id").fill("press-07")
        page.get_by_label("Labels").fill("site=lyon\nline=3")
        page.get_by_role("button", name="Make a token").click()
        token = page.get_by_role("region", name="Token for press-07")
        expect(token).to_contain_text("It is shown now, and never again.")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "it must not scroll sideways"
        assert not seen.failures()
        if folder := os.environ.get("VEDETTE_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"token-{theme}-{width}.png", full_page=True)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        token.get_by_role("button", name="Copy").first.click()
        expect(token.locator("[data-copied]")).to_have_count(1)
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("sudo -u vedette /opt/vedette/bin/vedette-agent join vedette1.")
        page.evaluate('Object.defineProperty(navigator, "clipboard", {value: undefined})')
        token.get_by_role("button", name="Copy").first.click()
        assert page.evaluate("getSelection().toString()").strip() == copied, "without a clipboard it is selected"
        ((device, _, labels, seconds),) = fleet.hub.joining.made
        assert (device, labels, seconds) == ("press-07", {"site": "lyon", "line": "3"}, 86_400)


def test_a_token_is_made_without_scripts(browser: Browser, fleet: Served) -> None:
    with watched(browser, scripts=False) as seen:
        page = seen.open(f"{fleet.url}/join")
        page.get_by_label("Device id").fill("press-07")
        page.get_by_role("button", name="Make a token").click()
        expect(page.get_by_role("region", name="Token for press-07")).to_contain_text("vedette-agent join vedette1.")
        page.reload()
        expect(page.get_by_role("region", name="Token for press-07")).to_contain_text("secret-1")
        assert len(fleet.hub.joining.made) == 1, "loaded again it is the same"


LABELS = """\
device,version,labelled,correct,from,until
lyon-line1-00,3,200,188,2026-11-02T10:00:00Z,2026-11-02T11:00:00Z
"""


@pytest.mark.parametrize(("theme", "width"), [*LOOKS, ("dark", 390)])
def test_labels_are_compared_while_they_are_typed_and_counted_once(
    browser: Browser, fleet: Served, theme: str, width: int, tmp_path: Path
) -> None:
    with watched(browser, width=width, theme=theme) as seen:
        page = seen.open(f"{fleet.url}/models/digits")
        page.get_by_role("link", name="True labels…").click()
        plan, text = page.locator("#plan"), page.get_by_label("CSV, with")
        text.fill(LABELS.replace("188", "288"))
        expect(plan).to_contain_text("288 right ones of 200 labelled cannot be.")
        file = tmp_path / "labels.csv"
        file.write_text(LABELS)
        page.get_by_label("Or choose a file").set_input_files(file)
        expect(text).to_have_value(LABELS)
        expect(plan).to_contain_text("94 %")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "it must not scroll sideways"
        assert not seen.failures()
        if folder := os.environ.get("VEDETTE_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"labelled-{theme}-{width}.png", full_page=True)
        page.get_by_role("button", name="Count them").click()
        expect(plan).to_contain_text("1 row is counted.")
        assert [model for model, _, _ in fleet.hub.labels.taken] == ["digits"]


def test_labels_are_counted_without_scripts(browser: Browser, fleet: Served) -> None:
    with watched(browser, scripts=False) as seen:
        page = seen.open(f"{fleet.url}/labels?model=digits")
        page.get_by_label("CSV, with").fill(LABELS)
        page.get_by_role("button", name="Show what would be counted").click()
        page.get_by_role("button", name="Count them").click()
        expect(page.locator("#plan")).to_contain_text("1 row is counted.")

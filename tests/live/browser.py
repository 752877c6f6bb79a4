"""Debian's Chromium, driven by Playwright; a page of it that notes everything that it complains of."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

#: A machine that builds other things beside it takes its time; a page that is right at once waits for nothing.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)
AXE = Path("cloud_hub/console/node_modules/axe-core/axe.min.js")
_RUN_AXE = """
axe.run(document, {resultTypes: ["violations"]}).then((result) => result.violations.flatMap((one) =>
  one.nodes.map((node) => `${one.id}: ${node.target} ${node.failureSummary}`)))
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "chromium is not installed: run `make test-live` as root, or `apt-get install chromium`"
    # Chromium refuses to sandbox itself as root, which is what a build machine runs tests as.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=sandbox, timeout=PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page, and what its console, its scripts and its policy complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def open(self, url: str) -> Page:
        """Goes to `url`, and waits until the page is drawn."""
        self.page.goto(url, wait_until="load")
        return self.page

    def live(self) -> Page:
        """Waits until the page's stream is open."""
        self.page.wait_for_selector('[data-connection="live"]', state="attached")
        return self.page

    def failures(self) -> list[Any]:
        """What axe-core finds wrong with the page as it is. It comes in by the debugger, past the page's policy."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Runtime.evaluate", {"expression": AXE.read_text()})
        found = session.send(
            "Runtime.evaluate",
            {
                "expression": _RUN_AXE,
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        assert "exceptionDetails" not in found, found
        failures: list[Any] = found["result"]["value"]
        return failures


@contextmanager
def watched(
    browser: Browser, *, width: int = 1320, height: int = 900, theme: str = "light", scripts: bool = True
) -> Iterator[Watched]:
    """A new page in a context of its own. Fails in the end when there was anything to complain of."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,
        java_script_enabled=scripts,  # type: ignore[arg-type]
    )
    context.set_default_timeout(PATIENCE_MS)
    context.set_default_navigation_timeout(PATIENCE_MS)
    page = context.new_page()
    seen = Watched(page)
    page.on("console", lambda said: seen.complaints.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: seen.complaints.append(f"error: {error}"))
    try:
        yield seen
    finally:
        context.close()
    assert not seen.complaints, seen.complaints

"""What holds for all tests of telemetry."""

from collections.abc import Iterator
from typing import Any

import pytest

from edge_agent.telemetry.spool import Spool


@pytest.fixture(autouse=True)
def nothing_stays_open(monkeypatch) -> Iterator[None]:
    """Spools that a test leaves as SIGKILL would have files open, and `select` knows no more than 1,024."""
    opened: list[Spool] = []
    make = Spool.__init__

    def remember(self: Spool, *arguments: Any) -> None:
        make(self, *arguments)
        opened.append(self)

    monkeypatch.setattr(Spool, "__init__", remember)
    yield
    for one in opened:
        one.close()

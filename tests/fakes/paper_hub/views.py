"""Pages and reasons, as the services of a hub show them."""

from collections.abc import Sequence
from typing import Any

from cloud_hub.because import BecauseView
from cloud_hub.page import Page, PageRequest

FIRST = PageRequest()


def page_of(items: Sequence[Any], request: PageRequest) -> Page[Any]:
    """Cursors that are simply where to go on."""
    at = int(request.cursor or 0)
    end = at + request.limit
    return Page(items=list(items[at:end]), total=len(items), next=str(end) if end < len(items) else None)


def because(code: str, sentence: str) -> BecauseView:
    return BecauseView(code=code, sentence=sentence)

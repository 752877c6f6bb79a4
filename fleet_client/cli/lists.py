"""Lists that are longer than a page of the hub: the first so many of one, and how to see the others."""

from typing import Any, Protocol, TypeVar

import click

from fleet_client.paging import MAX_LIMIT
from fleet_client.views import Page

T = TypeVar("T")


class Pages(Protocol[T]):
    """Gives a page: at most so many items, from a cursor on."""

    def __call__(self, *, limit: int, cursor: str | None) -> Page[T]: ...


def first(pages: Pages[T], limit: int) -> Page[T]:
    """The first `limit` items."""
    found: list[T] = []
    cursor: str | None = None
    while True:
        page = pages(limit=min(MAX_LIMIT, limit - len(found)), cursor=cursor)
        found += page.items
        cursor = page.next
        if cursor is None or len(found) >= limit:
            return Page(tuple(found), page.total, cursor)


def tell_rest(page: Page[Any], what: str) -> None:
    """Says on stderr how to see all, where these are not."""
    if page.total > len(page.items):
        click.echo(f"{len(page.items)} of {page.total} {what}; --limit {page.total} shows all.", err=True)

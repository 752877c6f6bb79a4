"""Lists as the hub gives them: a page at a time, or all of them one after the other."""

from collections.abc import Iterator
from typing import TypeVar

from fleet_client.http import Http, Query
from fleet_client.views import Page

T = TypeVar("T")
MAX_LIMIT = 500


def page(http: Http, kind: type[T], path: str, query: Query, limit: int, cursor: str | None) -> Page[T]:
    """One page of the list at `path`."""
    # A generic struct is made at run time from `kind`, which a type checker cannot follow.
    shape: type[Page[T]] = Page[kind]  # type: ignore[valid-type]
    return http.get(shape, path, {**query, "limit": limit, "cursor": cursor})


def every(http: Http, kind: type[T], path: str, query: Query) -> Iterator[T]:
    """All items of the list at `path`; each page is asked for when it is needed."""
    cursor: str | None = None
    while True:
        answer = page(http, kind, path, query, MAX_LIMIT, cursor)
        yield from answer.items
        if answer.next is None:
            return
        cursor = answer.next

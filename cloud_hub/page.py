"""Pages of a list: the same query parameters, the same cursor and the same answer everywhere.

A cursor names the last row that was seen by its sort value and its key, so rows that come and go between two
requests neither hide others nor show them twice.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar, cast

import msgspec
from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, func, or_, select
from sqlmodel import Session

from cloud_hub.errors import Invalid

T = TypeVar("T")
MAX_LIMIT = 500


class Page(BaseModel, Generic[T]):
    """Some of `total` items; `next` is the cursor of those that follow, or null at the end."""

    model_config = ConfigDict(frozen=True)

    items: list[T]
    total: int
    next: str | None = None


@dataclass(frozen=True)
class PageRequest:
    """`sort` is a field's name, with "-" before it for falling order, or None for the list's own order."""

    limit: int = 50
    cursor: str | None = None
    sort: str | None = None


def _page_query(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most")] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
    sort: Annotated[str | None, Query(description="A field; with - before it, falling")] = None,
) -> PageRequest:
    return PageRequest(limit, cursor, sort)


#: A route's parameter that brings `limit`, `cursor` and `sort`.
PageQuery = Annotated[PageRequest, Depends(_page_query)]


@dataclass(frozen=True)
class Rows:
    """What `fetch` found: rows of the statement, how many there are in all, and the next cursor."""

    rows: list[Any]
    total: int
    next: str | None


def fetch(
    session: Session,
    statement: Select[Any],
    request: PageRequest,
    *,
    sorts: Mapping[str, SQLColumnExpression[Any]],
    default_sort: str,
    key: SQLColumnExpression[Any],
) -> Rows:
    """One page of `statement`, which must not be ordered or limited yet.

    `sorts` are the expressions that callers may sort by, none of them ever NULL (use `func.coalesce`); `key` is
    unique, text or a number, and breaks ties. Each row's columns come first as in `statement`. Raises `Invalid` for
    an unknown sort or a cursor that is not from this list.
    """
    sort = request.sort or default_sort
    name, falling = sort.removeprefix("-"), sort.startswith("-")
    if name not in sorts:
        raise Invalid(f"This list cannot be sorted by {name!r}.", f"Sort by {', '.join(sorts)}.", code="sort-unknown")
    expression = sorts[name]
    total = session.execute(select(func.count()).select_from(statement.order_by(None).subquery())).scalar_one()
    paged = statement.add_columns(expression.label("page_sort"), key.label("page_key"))
    if request.cursor is not None:
        value, last = _open_cursor(request.cursor, sort)
        if not (_fits(expression, value) and _fits(key, last)):
            raise _cursor_wrong()
        further = expression < value if falling else expression > value
        after = key < last if falling else key > last
        paged = paged.where(or_(further, and_(expression == value, after)))
    order = (expression.desc(), key.desc()) if falling else (expression.asc(), key.asc())
    limit = max(1, min(request.limit, MAX_LIMIT))
    rows = list(session.execute(paged.order_by(*order).limit(limit + 1)))
    more = len(rows) > limit
    rows = rows[:limit]
    return Rows(rows, total, _cursor(sort, rows[-1].page_sort, rows[-1].page_key) if more else None)


def _fits(expression: SQLColumnExpression[Any], value: Any) -> bool:
    # A value of another type than its column is an error of the driver, and of each database another.
    kind = cast("ColumnElement[Any]", expression).type.python_type
    return isinstance(value, (int, float)) if kind in (int, float) else isinstance(value, kind)


def _cursor(sort: str, value: Any, key: str | int) -> str:
    kind = "time" if isinstance(value, datetime) else "plain"
    return base64.urlsafe_b64encode(msgspec.json.encode([sort, kind, value, key])).decode().rstrip("=")


def _open_cursor(text: str, sort: str) -> tuple[Any, str | int]:
    try:
        padded = text + "=" * (-len(text) % 4)
        of, kind, value, key = msgspec.json.decode(
            base64.b64decode(padded, altchars=b"-_", validate=True), type=tuple[str, str, str | int | float, str | int]
        )
        if of == sort:
            return (_utc(str(value)) if kind == "time" else value), key
    except (ValueError, OverflowError, binascii.Error, msgspec.DecodeError) as error:
        raise _cursor_wrong() from error
    raise _cursor_wrong()


def _utc(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _cursor_wrong() -> Invalid:
    return Invalid("This cursor is not from this list in this order.", "Start again without it.", code="cursor-wrong")

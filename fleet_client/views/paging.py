"""Lists that are answered a page at a time."""

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some of `total` items; `next` is the cursor of those that follow, or None at the end."""

    items: tuple[T, ...]
    total: int
    next: str | None = None

"""Tables of the lake, and answers from them."""

from typing import Any

import msgspec


class Column(msgspec.Struct, frozen=True):
    """A column of a table or of a query's answer, with its type in the lake's words."""

    name: str
    type: str


class Rows(msgspec.Struct, frozen=True):
    """What a query found; `truncated` when there were more rows than asked for."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False


class LakeTable(msgspec.Struct, frozen=True):
    """A table of the lake: what it holds, and where any reader of Delta tables finds it."""

    name: str
    columns: tuple[Column, ...] = ()
    location: str = ""
    version: int = 0
    rows: int = 0
    files: int = 0
    size_bytes: int = 0

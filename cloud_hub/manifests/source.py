"""YAML text as values that know their line and column. Pure; bounded in size, depth and what aliases expand to.

Scalars are read by YAML 1.2's core schema: `no` and `22:00` are texts. A key that is given twice, a tag, a value that
JSON does not have and a line's end that not every reader takes for one are faults.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import yaml

from cloud_hub.errors import Fault

#: Of all files of a request: the densest take seconds to parse.
MAX_CHARACTERS = 128 * 1024
MAX_DEPTH = 32
#: Of one file as written, and of one document with each alias counted as what it stands for.
MAX_NODES = 10_000
_MAX_EXCERPT = 160
_BREAK = re.compile("\r\n|[\n\r]")
#: Lines end here in YAML 1.1, and neither in YAML 1.2 nor in most editors: a comment to one is a key to another.
_BREAK_TO_SOME = re.compile("[\x85\u2028\u2029]")


class Place(NamedTuple):
    """A place in a text; `line` and `column` count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Node:
    """A value at a place. `value` is a scalar of JSON, a tuple of nodes, or a mapping of keys to `Entry`."""

    value: Any
    place: Place
    nodes: int = 1
    depth: int = 1
    text_at: Place | None = None
    """Of a text in one line: the place of its first character."""

    def plain(self) -> Any:
        """The value as JSON has it."""
        match self.value:
            case Mapping():
                return {key: entry.node.plain() for key, entry in self.value.items()}
            case tuple():
                return [node.plain() for node in self.value]
            case scalar:
                return scalar

    def place_of(self, path: Sequence[str | int]) -> Place:
        """The place of what `path` leads to, as far as it leads: the key of an entry, an item of a list."""
        return self._reach(path)[0]

    def value_at(self, path: Sequence[str | int]) -> Place:
        """The place of the value that `path` leads to, as far as it leads."""
        return self._reach(path)[1].place

    def inner(self, path: Sequence[str | int], column: int) -> Place | None:
        """The place of the character at `column`, from 1, of the text at `path`; None where lines are folded."""
        text_at = self._reach(path)[1].text_at
        return Place(text_at.line, text_at.column + column - 1) if text_at else None

    def _reach(self, path: Sequence[str | int]) -> "tuple[Place, Node]":
        place, node = self.place, self
        for step in path:
            match node.value, step:
                case Mapping(), str() if step in node.value:
                    place, node = node.value[step].place, node.value[step].node
                case tuple(), int() if 0 <= step < len(node.value):
                    node = node.value[step]
                    place = node.place
                case _:
                    break
        return place, node


@dataclass(frozen=True)
class Entry:
    """One entry of a mapping: the place of its key, and its value."""

    place: Place
    node: Node


class Lines:
    """The lines of one file, to show a fault with."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._lines = _BREAK.split(text)

    def fault(self, place: Place, what: str, where: str = "") -> Fault:
        line = self._lines[place.line - 1] if place.line <= len(self._lines) else ""
        return Fault(self.file, place.line, place.column, where, what, line[:_MAX_EXCERPT])


def documents(lines: Lines, text: str) -> tuple[list[Node], list[Fault]]:
    """The documents of `text` that are not empty, and what is wrong with it. Those before a fault are given, too."""
    if found := _BREAK_TO_SOME.search(text):
        return [], [lines.fault(_place(text, found.start()), _no_character(ord(found[0])))]
    builder = _Builder(lines)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        builder.faults.append(_syntax(lines, error))
    except yaml.reader.ReaderError as error:
        builder.faults.append(lines.fault(_place(text, error.position), _no_character(error.character)))
    except _Bomb as bomb:
        builder.faults.append(bomb.fault)
    return builder.documents, builder.faults


def _place(text: str, index: int) -> Place:
    """The place of the character at `index`, from 0."""
    before = _BREAK.split(text[:index])
    return Place(len(before), len(before[-1]) + 1)


def _no_character(character: int) -> str:
    return f"YAML has no character U+{character:04X} here: write it as an escape in double quotes."


class _Bomb(Exception):
    """A document that is too deep or too large to go on with."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass
class _Open:
    """A collection whose end has not come yet."""

    place: Place
    mapping: bool
    anchor: str | None
    items: list[Node]


class _Builder:
    """Puts nodes together from the events of a parser. Without recursion, so that no depth can exhaust the stack, and
    with anchors that are known only once their node is whole, so that none can hold itself."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._taken = 0
        self.documents: list[Node] = []
        self.faults: list[Fault] = []

    def take(self, event: Any) -> None:
        place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        self._taken += isinstance(event, yaml.NodeEvent)
        if self._taken > MAX_NODES:
            raise _Bomb(self._lines.fault(place, f"Up to here the file holds {MAX_NODES:,} values: split it."))
        if getattr(event, "tag", None) is not None:
            self.faults.append(self._lines.fault(place, f"Tags such as {event.tag!r} are not taken: leave it out."))
        match event:
            case yaml.DocumentStartEvent():
                self._anchors = {}
            case yaml.ScalarEvent():
                # A key is the text that is written: `on` and `1` are names there, and no truth and no number.
                value = event.value if self._at_key else self._scalar(event, place)
                one_line = event.end_mark.line == event.start_mark.line
                text_at = Place(place.line, place.column + (event.style is not None)) if one_line else None
                self._close(Node(value, place, text_at=text_at), event.anchor)
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    self.faults.append(
                        self._lines.fault(place, f"No whole value before here is named &{event.anchor}.")
                    )
                known = self._anchors.get(event.anchor, Node(None, place))
                self._close(replace(known, place=place, text_at=None), None)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._open.append(_Open(place, isinstance(event, yaml.MappingStartEvent), event.anchor, []))
                self._bound(place, len(self._open), 0)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                done = self._open.pop()
                value = self._mapping(done.items) if done.mapping else tuple(done.items)
                nodes = 1 + sum(item.nodes for item in done.items)
                depth = 1 + max((item.depth for item in done.items), default=0)
                self._close(Node(value, done.place, nodes, depth), done.anchor)
            case _:
                pass

    @property
    def _at_key(self) -> bool:
        return bool(self._open) and self._open[-1].mapping and len(self._open[-1].items) % 2 == 0

    def _close(self, node: Node, anchor: str | None) -> None:
        self._bound(node.place, len(self._open) + node.depth, node.nodes)
        if anchor is not None:
            self._anchors[anchor] = node
        if self._open:
            self._open[-1].items.append(node)
        elif node.value is not None:
            self.documents.append(node)

    def _bound(self, place: Place, depth: int, nodes: int) -> None:
        if depth > MAX_DEPTH:
            raise _Bomb(self._lines.fault(place, f"This is nested more than {MAX_DEPTH} deep."))
        if nodes > MAX_NODES:
            sentence = f"With its aliases written out, this holds {nodes:,} values, and may hold {MAX_NODES:,}."
            raise _Bomb(self._lines.fault(place, sentence))

    def _mapping(self, items: list[Node]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for key, node in zip(items[::2], items[1::2], strict=True):
            name = key.value
            if not isinstance(name, str):
                self.faults.append(self._lines.fault(key.place, "A key is a text, and nothing else."))
            elif name in found:
                first = found[name].place.line
                self.faults.append(self._lines.fault(key.place, f"{name!r} is given twice, first in line {first}."))
            else:
                found[name] = Entry(key.place, node)
        return found

    def _scalar(self, event: Any, place: Place) -> Any:
        if event.style is not None:
            return event.value
        try:
            value = plain_scalar(event.value)
        except ValueError:
            value = math.nan
        if isinstance(value, float) and not math.isfinite(value):
            self.faults.append(self._lines.fault(place, f"{event.value[:40]} is no number that JSON has."))
            return 0
        return value


_CORE: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda _: math.inf),
)


def plain_scalar(text: str) -> Any:
    """What `text` without quotes means in YAML 1.2's core schema (spec 1.2.2, 10.3.2). Raises `ValueError` for an
    integer of thousands of digits."""
    for pattern, read in _CORE:
        if pattern.fullmatch(text):
            return read(text)
    return text


def _syntax(lines: Lines, error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    context = f", {error.context}" if error.context else ""
    if error.context and error.context_mark and error.context_mark.line != getattr(mark, "line", None):
        context += f" (line {error.context_mark.line + 1})"
    return lines.fault(place, f"This is not YAML: {error.problem}{context}.")

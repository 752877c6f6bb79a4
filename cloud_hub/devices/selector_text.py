"""Selectors as people write them, the same everywhere: site = lyon and (target in (a, b) or not line = 2). Pure.

    selector   = either | nothing at all, which means every device
    either     = both { "or" both }
    both       = one { "and" one }
    one        = "not" one | "(" either ")" | "all" | "has" KEY | "cohort:"NAME | KEY comparison
    comparison = ("=" | "!=" | "<" | "<=" | ">" | ">=") VALUE | ["not"] "in" "(" VALUE { "," VALUE } ")"
    KEY        = "target" | "agent" | "model."NAME | a label's key | "label."a label's key

Keywords may be capital. A value that holds a blank, a quote or a mark of the grammar is quoted, "like \\"this\\"" or
'like this'; a quoted key is always a label's. Text, nesting and the number of conditions are bounded.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from cloud_hub.devices.labels import is_label_key, is_label_value
from cloud_hub.devices.selectors import (
    COMPARED,
    EVERYONE,
    KEYWORDS,
    Agent,
    Cohort,
    Comparison,
    Has,
    Label,
    Model,
    Not,
    Selector,
    Target,
    both,
    either,
    size,
)
from cloud_hub.devices.versions import order_of
from cloud_hub.errors import Invalid
from fleet_contract.errors import ContractError
from fleet_contract.topics import check_id

MAX_CHARACTERS = 4_000
MAX_DEPTH = 32
MAX_TERMS = 200
EXAMPLE = "site = lyon and (target in (cpu-avx2, cpu-vnni) or not line = 2)"
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<mark><=|>=|!=|==|[=<>(),])|(?P<word>[^\s"'\\()<>=!,]+))""",
    re.DOTALL,
)
_ODD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# As large as the database holds.
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class SelectorWrong(Invalid, ValueError):
    """A text that is no selector: at `column`, from 1. (A `ValueError`, so that pydantic takes it for a fault.)"""

    code = "selector-wrong"

    def __init__(self, column: int, what: str, remedy: str = f"For example: {EXAMPLE}") -> None:
        super().__init__(f"The selector is wrong at column {column}: {what}", remedy)
        self.column = column


@dataclass(frozen=True)
class _Token:
    kind: Literal["quoted", "mark", "word", "end"]
    text: str
    column: int

    @property
    def shown(self) -> str:
        if self.kind == "end":
            return "the end"
        return repr(self.text if len(self.text) <= 40 else f"{self.text[:39]}…")

    @property
    def keyword(self) -> str | None:
        """Which keyword it is, if any."""
        return self.text.lower() if self.kind == "word" and self.text.lower() in KEYWORDS else None

    def is_mark(self, text: str) -> bool:
        return self.kind == "mark" and self.text == text


def parse(text: str) -> Selector:
    """The selector that `text` says. Raises `SelectorWrong`."""
    if len(text) > MAX_CHARACTERS:
        raise SelectorWrong(
            MAX_CHARACTERS + 1,
            f"it goes on to {len(text):,} characters, and {MAX_CHARACTERS:,} are the most.",
            "Give the devices that it means a label, or save parts of it as cohorts.",
        )
    if not text.strip():
        return EVERYONE
    parser = _Parser(_tokens(text))
    selector = parser.either(0)
    parser.end()
    if (terms := size(selector)) > MAX_TERMS:
        raise SelectorWrong(
            len(text),
            f"it has {terms} conditions and values, and {MAX_TERMS} are the most.",
            "Give the devices that it means a label, or save parts of it as cohorts.",
        )
    return selector


def _tokens(text: str) -> list[_Token]:
    if odd := _ODD.search(text):
        raise SelectorWrong(odd.start() + 1, "there is a character here that no label or name has.")
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            column = at + len(text[at:]) - len(text[at:].lstrip())
            if text[column] in "\"'":
                raise SelectorWrong(column + 1, "this quote is never closed.")
            raise SelectorWrong(column + 1, f"{text[column]!r} means nothing here.")
        match found.lastgroup:
            case "quoted":
                tokens.append(_Token("quoted", _ESCAPED.sub(r"\1", found["quoted"][1:-1]), found.start("quoted") + 1))
            case "mark":
                mark = "=" if found["mark"] == "==" else found["mark"]
                tokens.append(_Token("mark", mark, found.start("mark") + 1))
            case _:
                tokens.append(_Token("word", found["word"], found.start("word") + 1))
        at = found.end()
    return [*tokens, _Token("end", "", end + 1)]


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _took(self, keyword: str) -> bool:
        if self._next.keyword != keyword:
            return False
        self._take()
        return True

    def end(self) -> None:
        if self._next.kind != "end":
            raise _unexpected(self._next, '"and", "or" or the end')

    def either(self, depth: int) -> Selector:
        parts = [self._both(depth)]
        while self._took("or"):
            parts.append(self._both(depth))
        return either(parts)

    def _both(self, depth: int) -> Selector:
        parts = [self._one(depth)]
        while self._took("and"):
            parts.append(self._one(depth))
        return both(parts)

    def _one(self, depth: int) -> Selector:
        token = self._take()
        if depth >= MAX_DEPTH:
            raise SelectorWrong(token.column, f"it is nested more than {MAX_DEPTH} deep.")
        if token.keyword == "not":
            return Not(self._one(depth + 1))
        if token.is_mark("("):
            inner = self.either(depth + 1)
            self._expect(")")
            return inner
        if token.keyword == "all":
            return EVERYONE
        if token.keyword == "has":
            return self._has()
        if token.kind == "word" and token.text.startswith("cohort:"):
            return Cohort(_named(token, token.text.removeprefix("cohort:"), "cohort"))
        return self._condition(token)

    def _has(self) -> Selector:
        token = self._take()
        if token.kind == "word" and token.text.startswith("model."):
            # Versions count from 1.
            return Model(_named(token, token.text.removeprefix("model."), "model"), ">=", 1)
        return Has(_label_key(token))

    def _condition(self, key: _Token) -> Selector:
        if key.kind == "word" and key.text == "agent":
            return self._ordered(lambda comparison, value: Agent(comparison, _version(value)))
        if key.kind == "word" and key.text.startswith("model."):
            model = _named(key, key.text.removeprefix("model."), "model")
            return self._ordered(lambda comparison, value: Model(model, comparison, _number(value)))
        if key.kind == "word" and key.text == "target":
            return self._listed(
                lambda values: Target(tuple(_named(one, one.text, "hardware target") for one in values))
            )
        name = _label_key(key)
        return self._listed(lambda values: Label(name, tuple(map(_label_value, values))))

    def _listed(self, make: Callable[[list[_Token]], Selector]) -> Selector:
        """What has no order: is it one of these?"""
        sign = self._next
        verb, values = self._comparison()
        if verb not in ("=", "!=", "in", "not in"):
            raise _unexpected(sign, '"=", "!=", "in" or "not in": only agent and model versions have an order')
        found = make(list({value.text: value for value in values}.values()))
        return Not(found) if verb in ("!=", "not in") else found

    def _ordered(self, make: Callable[[Comparison, _Token], Selector]) -> Selector:
        """What has an order: how does it compare?"""
        verb, values = self._comparison()
        if verb in COMPARED:
            return make(cast("Comparison", verb), values[0])
        found = either(make("=", value) for value in values)
        return Not(found) if verb in ("!=", "not in") else found

    def _comparison(self) -> tuple[str, list[_Token]]:
        sign = self._take()
        if sign.kind == "mark" and (sign.text in COMPARED or sign.text == "!="):
            return sign.text, [self._value()]
        if sign.keyword == "not" and self._took("in"):
            return "not in", self._values()
        if sign.keyword == "in":
            return "in", self._values()
        raise _unexpected(sign, 'a comparison: "=", "!=", "in", "not in", and of versions "<", "<=", ">", ">="')

    def _values(self) -> list[_Token]:
        self._expect("(")
        values = [self._value()]
        while self._next.is_mark(","):
            self._take()
            values.append(self._value())
        self._expect(")", "a comma or")
        return values

    def _value(self) -> _Token:
        token = self._take()
        if token.keyword is not None:
            raise _unexpected(token, f'a value; as a value it is quoted: "{token.text}"')
        if token.kind not in ("word", "quoted"):
            raise _unexpected(token, "a value")
        return token

    def _expect(self, mark: str, before: str = "") -> None:
        token = self._take()
        if not token.is_mark(mark):
            raise _unexpected(token, f'{before} "{mark}"'.strip())


def _unexpected(token: _Token, expected: str) -> SelectorWrong:
    return SelectorWrong(token.column, f"{expected} was expected, and {token.shown} is there.")


def _label_key(token: _Token) -> str:
    if token.kind not in ("word", "quoted") or token.keyword is not None:
        raise _unexpected(token, 'a condition, "not", "has" or "("')
    key = token.text.removeprefix("label.") if token.kind == "word" else token.text
    if not is_label_key(key):
        raise SelectorWrong(
            token.column,
            f"{token.shown} is no label's key: those have 1 to 63 lower-case letters, digits, dots, hyphens, "
            "underscores and slashes.",
        )
    return key


def _label_value(token: _Token) -> str:
    if not is_label_value(token.text):
        raise SelectorWrong(token.column, f"{token.shown} is no label's value: those have 1 to 63 characters.")
    return token.text


def _named(token: _Token, name: str, what: str) -> str:
    try:
        return check_id(name, what)
    except ContractError as error:
        raise SelectorWrong(token.column, f"{token.shown} names no {what}. {error.remedy}") from error


def _version(token: _Token) -> str:
    if order_of(token.text) is None:
        raise SelectorWrong(token.column, f"{token.shown} is no version number, such as 1.2.0 or 1.3rc1.")
    return token.text


def _number(token: _Token) -> int:
    if not _NUMBER.fullmatch(token.text):
        raise SelectorWrong(token.column, f"{token.shown} is no version of a model: they are numbered 1, 2, 3 …")
    return int(token.text)

"""Selectors from what people give as options: a label, a target, an expression. The hub has the grammar."""

import re
from collections.abc import Iterable, Mapping

_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
_WORDS = frozenset({"and", "or", "not", "in", "has", "all"})
_ATTRIBUTES = frozenset({"target", "agent"})


def all_of(expressions: Iterable[str], labels: Mapping[str, str], targets: Iterable[str] = ()) -> str:
    """The selector of the devices for which all that is given holds; "" when nothing is."""
    given = [text for text in expressions if text.strip()]
    conditions = [f"{_key(key)} = {_value(value)}" for key, value in labels.items()]
    if wanted := [_value(target) for target in targets]:
        conditions.append(f"target = {wanted[0]}" if len(wanted) == 1 else f"target in ({', '.join(wanted)})")
    if len(given) + len(conditions) == 1:
        return "".join([*given, *conditions])
    return " and ".join([*(f"({text})" for text in given), *conditions])


def _key(key: str) -> str:
    taken = key in _WORDS or key in _ATTRIBUTES or key.startswith(("model.", "label.")) or not _PLAIN.fullmatch(key)
    return f"label.{key}" if taken else key


def _value(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

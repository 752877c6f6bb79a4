"""Which devices somebody means: conditions on labels, hardware, agent and models, joined by and, or, not. Pure.

`selector_text.parse` makes a selector from what people write, and `text` here gives it back. What the database is asked
for is in `selector_sql.py`; both find the same devices.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, assert_never

from cloud_hub.devices.versions import order_of
from cloud_hub.errors import Invalid

Comparison = Literal["=", "<", "<=", ">", ">="]
COMPARED: Mapping[Comparison, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
#: Words that mean something, and so are quoted as values and written label.WORD as labels.
KEYWORDS = frozenset({"and", "or", "not", "in", "has", "all"})
ATTRIBUTES = frozenset({"target", "agent"})
#: What the parts and listed values of a selector come to, at most, its cohorts written out, and how deep they nest.
MAX_TERMS = 500
MAX_NESTED = 72


class SelectorTooLarge(Invalid):
    """A selector that no database should be asked."""

    code = "selector-too-large"


@dataclass(frozen=True)
class Label:
    """It has the label `key`, with one of `values`."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Has:
    """It has the label `key`."""

    key: str


@dataclass(frozen=True)
class Target:
    """Its hardware target is one of `values`."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Agent:
    """Its agent's version compares so with `version`; never true of what is no version."""

    comparison: Comparison
    version: str


@dataclass(frozen=True)
class Model:
    """The version of `model` that answers on it compares so with `version`; never true where none answers."""

    model: str
    comparison: Comparison
    version: int


@dataclass(frozen=True)
class Cohort:
    """What the saved cohort `name` selects."""

    name: str


@dataclass(frozen=True)
class Not:
    part: "Selector"


@dataclass(frozen=True)
class AllOf:
    """Every part holds; without parts, of every device."""

    parts: tuple["Selector", ...] = ()


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple["Selector", ...]


Selector = Label | Has | Target | Agent | Model | Cohort | Not | AllOf | AnyOf
EVERYONE: Selector = AllOf()


class Described(Protocol):
    """What is known of a device; `running` is the version that answers, by model."""

    @property
    def target(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def agent_version(self) -> str: ...
    @property
    def running(self) -> Mapping[str, int]: ...


def both(parts: Iterable[Selector]) -> Selector:
    """Every one of `parts`, without needless nesting."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, AllOf) else (part,))]
    return flat[0] if len(flat) == 1 else AllOf(tuple(flat))


def either(parts: Iterable[Selector]) -> Selector:
    """At least one of `parts`, without needless nesting."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, AnyOf) else (part,))]
    return flat[0] if len(flat) == 1 else AnyOf(tuple(flat))


def matches(selector: Selector, device: Described) -> bool:
    """Whether `selector`, whose cohorts are written out, means `device`."""
    match selector:
        case Label(key, values):
            return device.labels.get(key) in values
        case Has(key):
            return key in device.labels
        case Target(values):
            return device.target in values
        case Agent(comparison, version):
            mine, asked = order_of(device.agent_version), order_of(version)
            return mine is not None and bool(COMPARED[comparison](mine, asked))
        case Model(model, comparison, version):
            running = device.running.get(model)
            return running is not None and bool(COMPARED[comparison](running, version))
        case Not(part):
            return not matches(part, device)
        case AllOf(parts):
            return all(matches(part, device) for part in parts)
        case AnyOf(parts):
            return any(matches(part, device) for part in parts)
        case Cohort(name):
            raise AssertionError(f"cohort {name} is not written out")
        case _ as never:
            assert_never(never)


def cohorts_of(selector: Selector) -> set[str]:
    """The names of the saved cohorts that `selector` refers to itself."""
    return {part.name for part in _terms(selector) if isinstance(part, Cohort)}


def written_out(selector: Selector, cohorts: Mapping[str, Selector]) -> Selector:
    """`selector` with what each cohort stands for in its place; those of `cohorts` must not refer to each other in a
    circle. Raises `KeyError` for a cohort that is not there, `SelectorTooLarge`."""
    left = MAX_TERMS

    def replaced(part: Selector, depth: int) -> Selector:
        nonlocal left
        left -= size(part) if isinstance(part, Label | Target) else 1
        if left < 0 or depth > MAX_NESTED:
            raise SelectorTooLarge(
                f"With its cohorts written out, the selector has more than {MAX_TERMS} parts, or is nested more than "
                f"{MAX_NESTED} deep.",
                "Give the devices that it means a label, and select by that.",
            )
        match part:
            case Cohort(name):
                return replaced(cohorts[name], depth + 1)
            case Not(inner):
                return Not(replaced(inner, depth + 1))
            case AllOf(parts):
                return both([replaced(one, depth + 1) for one in parts])
            case AnyOf(parts):
                return either([replaced(one, depth + 1) for one in parts])
            case Label() | Has() | Target() | Agent() | Model():
                return part
            case _ as never:
                assert_never(never)

    return replaced(selector, 0)


def loosened(selector: Selector) -> Selector:
    """`selector` as it holds of a device when nothing is said of its agent's and its models' versions.

    A rollout changes these itself. It goes on meaning a device that it has taken in for as long as everything else
    about the device allows it: else each would be reverted as soon as it succeeded.
    """
    return _loosened(selector, wanted=True)


def _loosened(selector: Selector, *, wanted: bool) -> Selector:
    match selector:
        case Agent() | Model():
            return EVERYONE if wanted else Not(EVERYONE)
        case Not(part):
            return Not(_loosened(part, wanted=not wanted))
        case AllOf(parts):
            return AllOf(tuple(_loosened(part, wanted=wanted) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_loosened(part, wanted=wanted) for part in parts))
        case Label() | Has() | Target() | Cohort():
            return selector
        case _ as never:
            assert_never(never)


def is_moved(selector: Selector) -> bool:
    """Whether a rollout can itself change which devices `selector`, whose cohorts are written out, means."""
    return any(isinstance(part, Agent | Model) for part in _terms(selector))


def size(selector: Selector) -> int:
    """How many conditions and listed values it has."""
    return sum(len(part.values) if isinstance(part, Label | Target) else 1 for part in _terms(selector))


def _terms(selector: Selector) -> list[Selector]:
    match selector:
        case Not(part):
            return _terms(part)
        case AllOf(parts) | AnyOf(parts):
            return [term for part in parts for term in _terms(part)]
        case _:
            return [selector]


def text(selector: Selector) -> str:
    """`selector` as a person would write it; `parse` gives it back."""
    match selector:
        case Label(key, values):
            return f"{_key(key)} {_values(values)}"
        case Has(key):
            return f"has {_key(key)}"
        case Target(values):
            return f"target {_values(values)}"
        case Agent(comparison, version):
            return f"agent {comparison} {_value(version)}"
        case Model(model, comparison, version):
            return f"model.{model} {comparison} {version}"
        case Cohort(name):
            return f"cohort:{name}"
        case Not(Label(key, values)):
            return f"{_key(key)} {_values(values, but=True)}"
        case Not(Target(values)):
            return f"target {_values(values, but=True)}"
        case Not(part):
            return f"not {_inner(part)}"
        case AllOf(()):
            return "all"
        case AllOf(parts):
            return " and ".join(map(_inner, parts))
        case AnyOf(()):
            return "not all"
        case AnyOf(parts):
            return " or ".join(text(part) if isinstance(part, AllOf) else _inner(part) for part in parts)
        case _ as never:
            assert_never(never)


def _inner(part: Selector) -> str:
    return f"({text(part)})" if isinstance(part, AllOf | AnyOf) and part.parts else text(part)


def _key(key: str) -> str:
    taken = key in KEYWORDS or key in ATTRIBUTES or key.startswith(("model.", "label."))
    return f"label.{key}" if taken else key


def _values(values: tuple[str, ...], *, but: bool = False) -> str:
    if len(values) == 1:
        return f"{'!=' if but else '='} {_value(values[0])}"
    return f"{'not in' if but else 'in'} ({', '.join(map(_value, values))})"


def _value(value: str) -> str:
    plain = value.lower() not in KEYWORDS and not any(one.isspace() or one in "\"'\\()<>=!," for one in value)
    if plain:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

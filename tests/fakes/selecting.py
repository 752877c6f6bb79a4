"""Small fleets and random selectors over them, so that both often have something to do with each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from cloud_hub.devices.selectors import (
    COMPARED,
    Agent,
    AllOf,
    AnyOf,
    Has,
    Label,
    Model,
    Not,
    Selector,
    Target,
    both,
    either,
)

KEYS = ("site", "line", "target", "and", "model.x", "a/b_c.d")
VALUES = (
    "lyon",
    "Zürich",
    "2",
    "and",
    "ALL",
    "a b",
    'say "no"',
    "it's",
    "back\\slash",
    "a,b)",
    "x' OR '1'='1",
    "%",
    "=<>!",
)
TARGETS = ("cpu-avx2", "cpu-vnni", "tpu")
AGENTS = ("", "unknown", "0.9", "1.2rc1", "1.2", "1.2.0", "1.10", "2.0")
MODELS = ("digits", "sound")


@dataclass(frozen=True)
class PaperDevice:
    """What a selector may ask of a device."""

    id: str
    target: str = "cpu-avx2"
    labels: Mapping[str, str] = field(default_factory=dict)
    agent_version: str = ""
    running: Mapping[str, int] = field(default_factory=dict)


def fleets() -> st.SearchStrategy[list[PaperDevice]]:
    device = st.builds(
        PaperDevice,
        st.just(""),
        st.sampled_from(TARGETS),
        st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=4),
        st.sampled_from(AGENTS),
        st.dictionaries(st.sampled_from(MODELS), st.integers(1, 4)),
    )
    several = st.lists(device, max_size=8)
    return several.map(
        lambda fleet: [
            PaperDevice(f"gw-{index}", one.target, one.labels, one.agent_version, one.running)
            for index, one in enumerate(fleet)
        ]
    )


def selectors() -> st.SearchStrategy[Selector]:
    """As the parser makes them: without needless nesting."""
    comparisons = st.sampled_from(sorted(COMPARED))
    leaves: list[st.SearchStrategy[Selector]] = [
        st.builds(Label, st.sampled_from(KEYS), _some(VALUES)),
        st.builds(Has, st.sampled_from(KEYS)),
        st.builds(Target, _some(TARGETS)),
        st.builds(Agent, comparisons, st.sampled_from(AGENTS[2:])),
        st.builds(Model, st.sampled_from(MODELS), comparisons, st.integers(1, 4)),
        st.just(AllOf()),
    ]
    return st.recursive(
        st.one_of(leaves),
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(both, st.lists(inner, min_size=2, max_size=4)),
            st.builds(either, st.lists(inner, min_size=2, max_size=4)).filter(lambda made: made != AnyOf(())),
        ),
        max_leaves=12,
    )


def _some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True).map(tuple)

"""Which versions of a model run on how many devices, as parts of a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from cloud_hub.console.drawing import Segment, stack
from cloud_hub.devices.views import RunningView

_COLOURS = ("v1", "v2", "v3", "v4", "v5")


def colour(version: int) -> str:
    """The CSS class, and chart colour, of a version: the same on every page."""
    return _COLOURS[(version - 1) % len(_COLOURS)]


@dataclass(frozen=True)
class RunningPart:
    """One version, on so many devices."""

    version: int
    devices: int
    css: str


@dataclass(frozen=True)
class RunningModel:
    """One model; `segments` draw its `parts`, newest version first."""

    name: str
    parts: tuple[RunningPart, ...]
    segments: tuple[Segment, ...]
    label: str


def by_model(running: Sequence[RunningView]) -> list[RunningModel]:
    """`running` in counts by model and version, as one line for each model. A version keeps its colour."""
    found = []
    ordered = sorted(running, key=lambda one: (one.model, -one.version))
    for model, group in groupby(ordered, key=lambda one: one.model):
        parts = tuple(RunningPart(one.version, one.devices, colour(one.version)) for one in group)
        said = [f"v{part.version} on {part.devices:,} devices" for part in parts]
        segments = stack([(text, part.devices, part.css) for text, part in zip(said, parts, strict=True)])
        found.append(RunningModel(model, parts, segments, f"{model}: {', '.join(said)}"))
    return found

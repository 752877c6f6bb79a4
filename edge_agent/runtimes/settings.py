"""How the owner of a device wants its models to be computed."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    """Sensible for a gateway that has other work to do, and no accelerator that its owner knows of.

    `threads` is of one inference, `parallel` how many inferences one model may compute at once. `providers` names
    ONNX Runtime's execution providers and LiteRT's delegates in the order in which they are preferred; empty: those
    that the device is seen to have, where they are faster than the CPU. The CPU is always the last resort.
    `delegates` maps names of further delegates to their libraries. `options` are a provider's own, by its name.
    """

    threads: int = 1
    parallel: int = 2
    providers: tuple[str, ...] = ()
    delegates: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

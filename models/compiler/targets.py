"""The hardware targets: one compile profile each, and why it is as it is."""

from dataclasses import dataclass

from models.errors import TargetUnknown


@dataclass(frozen=True)
class Target:
    """How to quantize for one kind of processor. Activations are 8 bits wide, weights are signed."""

    name: str
    about: str
    signed_activations: bool
    reduce_range: bool
    """7-bit weights: the saturating multiply-add (vpmaddubsw) of a processor without VNNI then cannot overflow."""

    @property
    def exact(self) -> bool:
        """Whether the sums of its processors never saturate, so that it is measured in such arithmetic anywhere."""
        return not self.reduce_range


TARGETS = {
    target.name: target
    for target in (
        Target(
            "cpu-vnni",
            "x86 with AVX-512 VNNI or AVX-VNNI, ARM with dot product: signed activations and weights",
            signed_activations=True,
            reduce_range=False,
        ),
        Target(
            "cpu-avx2",
            "x86 without VNNI: unsigned activations, 7-bit weights that cannot overflow its 16-bit sums",
            signed_activations=False,
            reduce_range=True,
        ),
    )
}


def target(name: str) -> Target:
    """The profile `name`. Raises `TargetUnknown`."""
    try:
        return TARGETS[name]
    except KeyError:
        raise TargetUnknown(f"There is no compile profile {name!r}.", f"There are: {', '.join(TARGETS)}.") from None

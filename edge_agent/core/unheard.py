"""Decides whether a hub that takes what else is sent hears nothing of samples. No I/O, no clock, no randomness.

They go over a channel of their own: an older hub does not listen there, and a broker may let no device write to it.
Neither tells the device.
"""

import msgspec
from msgspec.structs import replace

from fleet_contract.because import Because
from fleet_contract.telemetry import Lane

#: Ten minutes of them, at a device that stays in touch: a hub that starts or is behind answers before that.
MOST_SENDINGS = 10


class Unheard(msgspec.Struct, frozen=True):
    """`sendings` of samples in a row had no answer though the hub took other records after each; `others_taken` says
    whether it has since the last."""

    sendings: int = 0
    others_taken: bool = False


def sent(unheard: Unheard, lane: Lane) -> Unheard:
    """After a batch of `lane` went out."""
    if lane is not Lane.SAMPLES:
        return unheard
    return Unheard(unheard.sendings + unheard.others_taken)


def answered(unheard: Unheard, lane: Lane) -> Unheard:
    """After the hub answered a batch of `lane`, whatever it said."""
    return Unheard() if lane is Lane.SAMPLES else replace(unheard, others_taken=True)


def trouble(unheard: Unheard) -> Because | None:
    """What is to be said of it, always in the same words."""
    if unheard.sendings < MOST_SENDINGS:
        return None
    return Because(
        "samples-unanswered",
        f"The hub left {MOST_SENDINGS} sendings of samples and more unanswered, and took what else was sent: it is "
        "older than this agent, or its broker lets no device write to up/samples. They are kept while there is room.",
    )

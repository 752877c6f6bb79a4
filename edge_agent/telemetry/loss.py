"""Says how long a loss of telemetry is told: while more may follow, and long enough to be seen. No I/O, no clock."""

import msgspec
from msgspec.structs import replace

from fleet_contract.because import Because

#: Most losses are over before the next report: told for less, nobody would see them there.
TOLD_SECONDS = 600.0
#: Of the reasons for which a lane drops records, those that somebody should look into: the trouble, and what it says.
TROUBLES = {
    "damaged": ("spool-damaged", "{} records of telemetry or more were damaged on disk, and are lost."),
    "unreadable": (
        "spool-put-aside",
        "{} records of telemetry or more could not be read for an hour, and are lost; their files were put aside in "
        "the spool, as *.unreadable. Check the disk.",
    ),
    "refused": ("telemetry-refused", "The hub has refused {} records of telemetry for good; its log says why."),
}
#: Of these more may follow while what lay beside them waits.
ON_DISK = ("damaged", "unreadable")


class Loss(msgspec.Struct, frozen=True):
    """`count` records of a lane were lost for one reason, the last `at` (monotonic seconds), when `newest` was the
    lane's newest segment. `closed`: what was lost for is over."""

    count: int = 0
    at: float = 0.0
    newest: int = 0
    closed: bool = False


def more(loss: Loss | None, count: int, newest: int, now: float) -> Loss:
    """After `count` more were lost."""
    return Loss((0 if loss is None else loss.count) + count, now, newest)


def closed(loss: Loss) -> Loss:
    """After the hub has all that lay beside what was lost on disk, or has taken records again."""
    return replace(loss, closed=True)


def ended(loss: Loss, now: float) -> bool:
    """Whether it need not be told any more."""
    return loss.closed and now >= loss.at + TOLD_SECONDS


def told(reason: str, count: int) -> Because:
    """What a report says of `count` records that were lost for `reason`, one of `TROUBLES`."""
    code, sentence = TROUBLES[reason]
    return Because(code, sentence.format(count))

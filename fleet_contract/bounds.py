"""How large the values in messages may be, so that whatever decodes can also be stored, added up and shown.

A device may be broken or hostile. Without these, one message could hold a number that no database column takes, and
would be tried again for ever.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import msgspec

from fleet_contract.errors import Undecodable

#: Of records, errors, and in histograms: 2^32 of them still add up in 64 bits.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]

#: Numbers that rise (sequences, generations) and Unix milliseconds: what JSON carries exactly.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]

#: In °C: from where nothing is colder to where no sensor is left.
COLDEST_C, HOTTEST_C = -273.15, 2000.0
Temperature = Annotated[float, msgspec.Meta(ge=COLDEST_C, le=HOTTEST_C)]

#: Of a label, and what it is ahead of another by: a probability.
Confidence = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]

#: Names and labels in telemetry. `check_names` does the rest, once for each that a batch has, for it is on the path
#: of every window.
Name = Annotated[str, msgspec.Meta(max_length=256)]

#: Of the reason that an event carries.
Sentence = Annotated[str, msgspec.Meta(max_length=1024)]

#: Of keys in one dictionary of a window. The labels of the widest classifiers come to a thousand; a message has no
#: room for many more.
MAX_KEYS = 4096

#: A time with its zone: without one, it cannot be compared.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_names(names: Iterable[str]) -> None:
    """Raises `Undecodable` for a name with control characters: NUL is among them, which PostgreSQL does not store."""
    for name in names:
        if _CONTROL.search(name):
            raise Undecodable(f"The name {name!r} has control characters.")


def plain(text: str) -> str:
    """`text`, whoever wrote it, as a `Sentence` may be: on one line, cut where it is too long, and of characters that
    can be written (a file's name need not be)."""
    return _CONTROL.sub(" ", text).encode(errors="replace").decode()[:1024]

"""The order of version numbers, as text: what is older comes first, in Python and in every database. Pure.

1.2.dev3 < 1.2a1 < 1.2rc1 < 1.2 = 1.2.0 < 1.2.post1 < 1.2.1 < 1.10, as PEP 440 has it; what follows a "+" counts for
nothing. Semantic versions (1.2.0-rc.1) are read alike.
"""

import re
from functools import lru_cache

_VERSION = re.compile(
    r"v?(?P<release>[0-9]{1,9}(?:\.[0-9]{1,9}){0,7})"
    r"(?:[-._]?(?P<early>alpha|beta|preview|pre|rc|a|b|c)[-._]?(?P<early_number>[0-9]{0,9}))?"
    r"(?:[-._]?(?P<post>post|rev|r)[-._]?(?P<post_number>[0-9]{0,9}))?"
    r"(?:[-._]?(?P<dev>dev)[-._]?(?P<dev_number>[0-9]{0,9}))?"
    r"(?:\+.*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
# What may follow a part of a version, from the oldest to the newest; _END is that nothing does.
_DEV, _ALPHA, _BETA, _CANDIDATE, _END, _POST, _NUMBER = "0123456"
_EARLY = {"a": _ALPHA, "b": _BETA, "c": _CANDIDATE, "p": _CANDIDATE, "r": _CANDIDATE}


@lru_cache(maxsize=4096)
def order_of(version: str) -> str | None:
    """A text of digits that sorts, byte by byte, as `version` does among versions. None for what is no version."""
    found = _VERSION.fullmatch(version.strip()) if len(version) <= 200 else None
    if found is None:
        return None
    numbers = found["release"].split(".")
    while len(numbers) > 1 and not numbers[-1].strip("0"):
        numbers.pop()
    parts = [_NUMBER + _sized(number) for number in numbers]
    if found["early"]:
        parts.append(_EARLY[found["early"][0].lower()] + _sized(found["early_number"]))
    if found["post"]:
        parts.append(_POST + _sized(found["post_number"]))
    if found["dev"]:
        parts.append(_DEV + _sized(found["dev_number"]))
    return "".join(parts) + _END


def _sized(number: str) -> str:
    # Its length first: 9 before 10.
    digits = number.lstrip("0")
    return f"{len(digits)}{digits}"

"""The Range header of RFC 9110, for one range."""

import re

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):
    """The range starts behind the end."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, end), end excluded, or None for all: no range, several, or none that we understand, as the RFC wants it.

    Raises `Unsatisfiable`.
    """
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0:
            raise Unsatisfiable
        return max(0, size - int(last)), size
    start, end = int(first), int(last) + 1 if last else size
    if end <= start and last:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, min(end, size)

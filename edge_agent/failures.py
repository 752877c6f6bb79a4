"""The two ways in which carrying out an order fails: for good, or for now."""

import errno

from fleet_contract.errors import VedetteError


class ArtifactRejected(VedetteError):
    """This release cannot run here: never retry it."""

    code = "artifact-rejected"


class TryLater(VedetteError):
    """Not the release's fault: the same step may succeed later, in `after_seconds` at the earliest.

    `progressed` says that this try has brought it nearer to its end, and so is no sign that the next will fail.
    """

    code = "try-later"

    def __init__(
        self,
        what: str,
        remedy: str = "",
        *,
        code: str | None = None,
        after_seconds: float = 0.0,
        progressed: bool = False,
    ) -> None:
        super().__init__(what, remedy, code=code)
        self.after_seconds = after_seconds
        self.progressed = progressed


def disk_trouble(error: OSError, doing: str) -> TryLater:
    """What `error` of the file system means for who reads it; `doing` says what was going on."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return TryLater(f"The disk is full while {doing}.", "Free some space; it goes on by itself.", code="disk-full")
    return TryLater(f"The disk failed while {doing}: {error}.", "Check the disk.", code="disk-failed")

"""The kinds of error of the hub, by whose fault they are, each with a code. `problems.py` knows their statuses."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleet_contract.errors import VedetteError


class HubError(VedetteError):
    """An error that the hub tells a caller."""


class NotFound(HubError):
    """What was asked for is not here."""

    code = "not-found"


class Conflict(HubError):
    """It contradicts what is already here."""

    code = "conflict"


class Stale(HubError):
    """It was to be changed as somebody saw it, and is another by now."""

    code = "stale"


class Malformed(HubError):
    """It breaks the protocol that it was sent by."""

    code = "malformed"


class Invalid(HubError):
    """What was sent cannot be used as it is."""

    code = "invalid"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a text: at `line` and `column` of `file`, counted from 1, in the field `where`
    ("spec.soak_seconds", or ""). `what` is a sentence that says what is allowed; `excerpt` is the line as written."""

    file: str
    line: int
    column: int
    where: str
    what: str
    excerpt: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {f'{self.where}: ' if self.where else ''}{self.what}"


class Faulty(Invalid):
    """Texts with faults; `faults` are all of them, at least one."""

    def __init__(self, faults: Sequence[Fault], remedy: str, *, code: str) -> None:
        more = f" And {len(faults) - 1} more." if len(faults) > 1 else ""
        super().__init__(f"{faults[0]}{more}", remedy, code=code)
        self.faults = tuple(faults)


class Unauthorized(HubError):
    """No proof, or a wrong one, of who is asking."""

    code = "unauthorized"


class Forbidden(HubError):
    """We know who is asking, and they may not."""

    code = "forbidden"


class TooLarge(HubError):
    """More than we take at once."""

    code = "too-large"


class DiskFull(HubError):
    """There is no room left where this should be kept."""

    code = "disk-full"


class Unavailable(HubError):
    """A part that we need does not answer now; the same request may work later."""

    code = "unavailable"


class CannotStart(HubError):
    """The hub cannot start here like this."""

    code = "cannot-start"

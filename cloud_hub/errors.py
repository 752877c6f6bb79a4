"""The kinds of error of the hub, by whose fault they are, each with a code. `problems.py` knows their statuses."""

from fleet_contract.errors import VedetteError


class HubError(VedetteError):
    """An error that the hub tells a caller."""


class NotFound(HubError):
    """What was asked for is not here."""

    code = "not-found"


class Conflict(HubError):
    """It contradicts what is already here."""

    code = "conflict"


class Invalid(HubError):
    """What was sent cannot be used as it is."""

    code = "invalid"


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

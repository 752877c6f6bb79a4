"""The errors of the client: whose fault it is, and what to do next."""

from fleet_contract.errors import VedetteError


class ClientError(VedetteError):
    """Something that the client was asked and could not do."""

    code = "client-error"


class HubUnreachable(ClientError):
    """Nobody answers at the hub's address: start the hub, or name another."""

    code = "hub-unreachable"


class HubAddressWrong(ClientError):
    """What was given as the hub's address is none."""

    code = "hub-address-wrong"


class AnswerWrong(ClientError):
    """Somebody answers at the hub's address, and not as a hub of this release does."""

    code = "answer-wrong"


class HubRefused(ClientError):
    """The hub answered, and said no. `code`, `what` and `remedy` are the hub's; `status` is the HTTP status."""

    code = "hub-refused"

    def __init__(self, what: str, remedy: str = "", *, code: str | None = None, status: int) -> None:
        super().__init__(what, remedy, code=code)
        self.status = status


class BuildWrong(ClientError):
    """A folder that should hold a built model does not, or holds a damaged one."""

    code = "build-wrong"


class PolicyWrong(ClientError):
    """A rollout policy that cannot be read."""

    code = "policy-wrong"


class ExtraMissing(ClientError):
    """Packages that this command needs are not installed."""

    code = "extra-missing"

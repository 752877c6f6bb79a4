"""The errors of the client: whose fault it is, and what to do next."""

from dataclasses import dataclass

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


class HeaderWrong(ClientError):
    """A token, a name or a mark that no header can carry."""

    code = "header-wrong"


class AnswerWrong(ClientError):
    """Somebody answers at the hub's address, and not as a hub of this release does."""

    code = "answer-wrong"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a text that was sent, at a line and column counted from 1, in the field `where`."""

    file: str
    line: int
    column: int
    where: str
    what: str
    excerpt: str

    @property
    def sentence(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class HubRefused(ClientError):
    """The hub answered, and said no. `code`, `what` and `remedy` are the hub's; `status` is the HTTP status, `faults`
    all that is wrong with a manifest."""

    code = "hub-refused"

    def __init__(
        self, what: str, remedy: str = "", *, code: str | None = None, status: int, faults: tuple[Fault, ...] = ()
    ) -> None:
        super().__init__(what, remedy, code=code)
        self.status = status
        self.faults = faults


class BuildWrong(ClientError):
    """A folder that should hold a built model does not, or holds a damaged one."""

    code = "build-wrong"


class LabelsWrong(ClientError):
    """A file of labels cannot be read."""

    code = "labels-wrong"


class PolicyWrong(ClientError):
    """A rollout policy that cannot be read."""

    code = "policy-wrong"


class ManifestUnreadable(ClientError):
    """A file of manifests that is not there, or no text."""

    code = "manifest-unreadable"


class ExtraMissing(ClientError):
    """Packages that this command needs are not installed."""

    code = "extra-missing"

"""The errors of the contract: what was refused, why, and what to do next."""

from fleet_contract.because import Because

#: Of a sentence in characters: what was refused may be hostile, and what says so must still fit into a report.
MAX_SENTENCE = 2000


class VedetteError(Exception):
    """An error a person can act on. Subclasses set `code`; `remedy` says what to do next."""

    code = "error"

    def __init__(self, what: str, remedy: str = "", *, code: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()

    @property
    def because(self) -> Because:
        sentence = str(self)
        return Because(self.code, sentence if len(sentence) <= MAX_SENTENCE else sentence[: MAX_SENTENCE - 1] + "…")


class ContractError(VedetteError):
    """A message that breaks the contract. Sending it again changes nothing."""

    code = "contract-broken"


class Undecodable(ContractError):
    """Bytes that are not the message they should be."""

    code = "undecodable"


class SignatureWrong(ContractError):
    """Signed by nobody we trust, or changed after it was signed."""

    code = "signature-wrong"


class DeviceWrong(ContractError):
    """Meant for another device or another fleet."""

    code = "device-wrong"


class GenerationStale(ContractError):
    """Older than what the device has already accepted."""

    code = "generation-stale"


class Expired(ContractError):
    """Past its expiry."""

    code = "expired"


class ManifestWrong(ContractError):
    """A manifest that contradicts itself or what it was asked for."""

    code = "manifest-wrong"

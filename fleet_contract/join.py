"""How a device joins a fleet: a token that works once, a request with a key of the device's own, a signed answer."""

import msgspec

from fleet_contract.bounds import Moment
from fleet_contract.encoding import decode, encode
from fleet_contract.errors import ContractError, SignatureWrong, Undecodable
from fleet_contract.report import Inventory
from fleet_contract.signing import PublicKey, Signed, verify

_PREFIX = "vdt1."


class JoinToken(msgspec.Struct, frozen=True):
    """What an operator hands to a device: where the hub is, how to know it (fingerprints), and a secret.

    `hub` is a URL; `hub_key` and `release_key` are fingerprints of Ed25519 keys; `secret` works once.
    """

    hub: str
    hub_key: str
    release_key: str
    secret: str

    def __str__(self) -> str:
        # Only tokens need it, and an agent that has joined has none.
        import base64

        return _PREFIX + base64.urlsafe_b64encode(encode(self)).decode().rstrip("=")


class JoinRequest(msgspec.Struct, frozen=True):
    """`certificate_request` is a PEM PKCS#10 request: it proves that the device holds the key, and never shows it."""

    secret: str
    certificate_request: str
    target: str
    agent_version: str
    inventory: Inventory


class Broker(msgspec.Struct, frozen=True):
    """Where the device's MQTT 5 broker listens. `tls` asks for TLS with the device's certificate."""

    host: str
    port: int
    tls: bool = False


class Identity(msgspec.Struct, frozen=True):
    """The hub's answer: who the device is, where it speaks, and whom it trusts. Signed with the hub key ("join")."""

    fleet: str
    device: str
    hub: str
    broker: Broker
    hub_keys: tuple[PublicKey, ...]
    release_keys: tuple[PublicKey, ...]
    certificate: str
    """PEM, for the device's key, by the fleet's authority."""
    authority: str
    """PEM of the fleet's authority."""
    target: str
    issued_at: Moment


def parse_token(text: str) -> JoinToken:
    """The token in `text`. Raises `ContractError` when it is cut short or not a token at all."""
    import base64

    text = text.strip()
    body = text.removeprefix(_PREFIX)
    try:
        if body == text:
            raise Undecodable("It does not start with vdt1.")
        return decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), JoinToken)
    except (Undecodable, ValueError) as error:
        raise ContractError(
            f"This is not a join token, or not a whole one: {error}",
            "Make one with `vedette devices token` and paste all of it.",
            code="token-wrong",
        ) from error


def open_identity(answer: Signed, token: JoinToken) -> Identity:
    """The identity in the hub's answer, if the hub is the one that the token names. Raises `SignatureWrong`."""
    # The answer brings its own keys; the token's fingerprints decide whether they are the right ones.
    claimed = decode(answer.signed, Identity)
    keys = tuple(key for key in claimed.hub_keys if key.fingerprint == token.hub_key)
    identity = decode(verify("join", answer, keys), Identity)
    if token.release_key not in {key.fingerprint for key in identity.release_keys}:
        raise SignatureWrong(
            f"The hub's answer does not bring the release key {token.release_key[:12]} that the token names.",
            "Make a new token; if it happens again, somebody may stand between this device and its hub.",
        )
    return identity

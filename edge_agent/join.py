"""Joining a fleet: a key made on the device, a request that proves it, an answer checked against the token."""

import msgspec
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent import __version__, inventory
from edge_agent.durable import write_durably
from edge_agent.errors import HubUnreachable, JoinRefused, StateUnusable
from edge_agent.state import StateFolder
from fleet_contract.encoding import decode, encode
from fleet_contract.errors import Undecodable
from fleet_contract.join import Identity, JoinRequest, JoinToken, open_identity
from fleet_contract.signing import envelope

_TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)
_MAX_ANSWER_BYTES = 128 * 1024


class _Problem(msgspec.Struct, frozen=True):
    """What the hub says when it says no (RFC 9457)."""

    title: str = ""
    detail: str = ""
    code: str = "join-refused"
    remedy: str = ""


def join(state: StateFolder, token: JoinToken, target: str) -> Identity:
    """Asks the hub for an identity and returns it once it has been checked; the caller saves it.

    The device's key is made on the first try and kept: when an answer is lost, the same token with the same key gets
    it again. Raises `HubUnreachable`, `JoinRefused`, `SignatureWrong` or `StateUnusable`.
    """
    key = device_key(state)
    request = JoinRequest(
        secret=token.secret,
        certificate_request=_certificate_request(key),
        target=target,
        agent_version=__version__,
        inventory=inventory.take(),
    )
    identity = open_identity(envelope(_ask(token.hub.rstrip("/") + "/api/v1/join", encode(request))), token)
    certificate = x509.load_pem_x509_certificate(identity.certificate.encode())
    if certificate.public_key() != key.public_key():
        raise JoinRefused("The certificate in the hub's answer is for another key.", "Make a new token and join again.")
    return identity


def device_key(state: StateFolder) -> ec.EllipticCurvePrivateKey:
    """The device's own key, EC P-256, made here when there is none. Raises `StateUnusable`."""
    try:
        pem = state.device_key.read_bytes()
    except FileNotFoundError:
        return _make_key(state)
    except OSError as error:
        raise StateUnusable(
            f"Cannot read the device's key {state.device_key}: {error.strerror}.", "Run as the user who owns it."
        ) from error
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except ValueError as error:
        raise StateUnusable(
            f"The device's key {state.device_key} is damaged: {error}.", "Remove it and join with a new token."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateUnusable(f"{state.device_key} is not an EC key.", "Remove it and join with a new token.")
    return key


def _make_key(state: StateFolder) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        write_durably(state.device_key, pem)
    except OSError as error:
        raise StateUnusable(
            f"Cannot write the device's key {state.device_key}: {error.strerror}.",
            "Make room, or run as the user who owns the folder.",
        ) from error
    return key


def _certificate_request(key: ec.EllipticCurvePrivateKey) -> str:
    # The hub gives the name with the certificate; a request must carry some name, and proves only the key.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vedette device")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _ask(url: str, body: bytes) -> bytes:
    # Not followed elsewhere: the secret in the body is for the hub that the token names.
    with urllib3.PoolManager(retries=False, timeout=_TIMEOUT) as pool:
        try:
            answer = pool.request(
                "POST", url, body=body, headers={"Content-Type": "application/json"}, preload_content=False
            )
            content = answer.read(_MAX_ANSWER_BYTES + 1)
        except urllib3.exceptions.HTTPError as error:
            raise HubUnreachable(
                f"No answer from {url}: {error}.",
                "Start the hub or mend the network, then run the same command again; the token is still good.",
            ) from error
    if len(content) > _MAX_ANSWER_BYTES:
        raise JoinRefused(
            f"{url} answered with more than {_MAX_ANSWER_BYTES} bytes: that is no Vedette hub.",
            "Check the token's address.",
        )
    if answer.status not in (200, 201):
        raise _refusal(url, answer.status, content)
    return content


def _refusal(url: str, status: int, content: bytes) -> JoinRefused:
    try:
        problem = decode(content, _Problem)
    except Undecodable:
        return JoinRefused(f"{url} answered {status}, and not as a Vedette hub does.", "Check the token's address.")
    what = problem.detail or problem.title or f"The hub answered {status}."
    return JoinRefused(what, problem.remedy, code=problem.code)

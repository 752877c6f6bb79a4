"""Ed25519 signatures over canonical JSON. Only who signs or verifies imports `cryptography`: 6 ms of a start."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec

from fleet_contract.encoding import canonical, encode
from fleet_contract.errors import SignatureWrong, Undecodable


class PublicKey(msgspec.Struct, frozen=True):
    """An Ed25519 public key; `raw` is its 32 bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise ValueError(f"an Ed25519 public key has 32 bytes, and this has {len(self.raw)}")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the raw key, 64 hexadecimal digits: the key's name in messages, tokens and logs."""
        return hashlib.sha256(self.raw).hexdigest()


class PrivateKey:
    """An Ed25519 private key from its 32-byte seed."""

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        return self._key.sign(message)


class Signature(msgspec.Struct, frozen=True):
    """One signature: whose (`key`, a fingerprint), and its 64 bytes."""

    key: str
    value: bytes


class Signed(msgspec.Struct, frozen=True):
    """A JSON document and the signatures over its canonical form."""

    signed: msgspec.Raw
    signatures: tuple[Signature, ...]


def _message(purpose: str, document: bytes) -> bytes:
    # The purpose keeps a signature made for one kind of document from being shown as one for another.
    return b"vedette/v1/" + purpose.encode() + b"\n" + document


def sign(purpose: str, document: msgspec.Struct, key: PrivateKey) -> Signed:
    """`document` signed with `key` for `purpose` ("manifest", "desired", "join")."""
    text = canonical(encode(document))
    return Signed(msgspec.Raw(text), (Signature(key.public.fingerprint, key.sign(_message(purpose, text))),))


def verify(purpose: str, envelope: Signed, trusted: Iterable[PublicKey]) -> bytes:
    """The canonical bytes that one of the `trusted` keys signed: decode these, never what came in.

    Raises `SignatureWrong` when no trusted key has signed this document for this purpose.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    text = canonical(envelope.signed)
    keys = {key.fingerprint: key for key in trusted}
    signers = _signers(purpose, envelope, keys)
    for signature in signers:
        try:
            Ed25519PublicKey.from_public_bytes(keys[signature.key].raw).verify(signature.value, _message(purpose, text))
        except InvalidSignature:
            continue
        return text
    raise SignatureWrong(
        f"The {purpose}'s signature by key {signers[0].key[:12]} does not fit its content.",
        "It was changed on its way, or damaged; fetch it again from its source.",
    )


def recognize(purpose: str, envelope: Signed, trusted: Iterable[PublicKey]) -> bytes:
    """The canonical bytes of what was let in by `verify` before, if one of the `trusted` keys is named as its signer.

    The signature is not computed again: only for what comes from where nobody else can write. Raises `SignatureWrong`.
    """
    _signers(purpose, envelope, {key.fingerprint: key for key in trusted})
    return canonical(envelope.signed)


#: `verify` or `recognize`.
Check: TypeAlias = Callable[[str, Signed, Iterable[PublicKey]], bytes]


def _signers(purpose: str, envelope: Signed, keys: Mapping[str, PublicKey]) -> list[Signature]:
    """The signatures that name one of `keys`. Raises `SignatureWrong` when there is none."""
    if signers := [one for one in envelope.signatures if one.key in keys]:
        return signers
    named = ", ".join(one.key[:12] for one in envelope.signatures) or "nobody"
    raise SignatureWrong(
        f"The {purpose} is signed by {named}, and we trust {', '.join(k[:12] for k in keys) or 'no key'}.",
        "Sign it with a trusted key, or join the device again to renew its trust.",
    )


def envelope(data: bytes) -> Signed:
    """The signed envelope that `data` holds. Raises `Undecodable`."""
    try:
        return msgspec.json.decode(data, type=Signed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"This is not a signed document: {error}.") from error

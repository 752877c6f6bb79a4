"""The fleet's certificate authority: made once, it gives each device a certificate for a key it never sees."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet_contract.errors import VedetteError

AUTHORITY_YEARS = 30
CERTIFICATE_DAYS = 730
#: A gateway without a clock battery may think that it is a little earlier than it is.
_BACKDATED = timedelta(hours=24)


class RequestWrong(VedetteError):
    """A certificate request that we cannot sign."""

    code = "certificate-request-wrong"


class Request:
    """A certificate request whose sender holds the key: its own signature has been verified."""

    def __init__(self, pem: str) -> None:
        """Raises `RequestWrong`."""
        try:
            self._request = x509.load_pem_x509_csr(pem.encode())
            self._key = self._request.public_key()
            proven = self._request.is_signature_valid
        except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
            raise RequestWrong(f"The certificate request cannot be read: {error}.") from error
        if not proven:
            raise RequestWrong("The certificate request is not signed with the key that it names.")
        if not isinstance(self._key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
            raise RequestWrong("The certificate request's key is neither an elliptic-curve nor an Ed25519 key.")

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the public key (its SubjectPublicKeyInfo in DER)."""
        return _fingerprint(self._key.public_bytes(*_SPKI))

    @property
    def key(self) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
        assert isinstance(self._key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
        return self._key


class Authority:
    """A certificate authority with an EC P-256 key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def make(cls, fleet: str, now: datetime | None = None) -> "Authority":
        """A new authority for `fleet`, with a new key."""
        now = now or datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Vedette fleet {fleet}")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + timedelta(days=365 * AUTHORITY_YEARS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def from_pem(cls, pem: bytes) -> "Authority":
        """The authority that `to_pem` wrote. Raises ValueError."""
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is not an elliptic-curve key")
        certificate = x509.load_pem_x509_certificate(pem)
        if certificate.public_key() != key.public_key():
            raise ValueError("the authority's certificate is not for its key")
        return cls(key, certificate)

    def to_pem(self) -> bytes:
        """Key and certificate, the key in the clear: for a file that only its owner can read."""
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def certificate(self) -> str:
        """The authority's certificate in PEM, which others may know."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign_device(self, request: Request, device: str, now: datetime) -> str:
        """A certificate in PEM for the request's key, whose common name is the device's id.

        Only the key is taken from the request: the name, the uses and the time are ours to give.
        """
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)]))
            .issuer_name(self._certificate.subject)
            .public_key(request.key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


_SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _fingerprint(public_key: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public_key)
    return digest.finalize().hex()


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )

"""The fleet's authority and what it signs."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provisioning.pki import CERTIFICATE_DAYS, Authority, Request, RequestWrong
from tests.fakes.certificates import request_for

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make("default", NOW)


def test_a_device_certificate_names_the_device_and_lets_it_be_a_client_only(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = authority.sign_device(Request(request_for(key, "whatever it wishes")), "gw-1", NOW)
    certificate = x509.load_pem_x509_certificate(pem.encode())
    root = x509.load_pem_x509_certificate(authority.certificate.encode())
    certificate.verify_directly_issued_by(root)
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=gw-1"
    extensions = certificate.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc == NOW + timedelta(days=CERTIFICATE_DAYS)
    assert certificate.not_valid_before_utc < NOW, "a gateway's clock may be behind"


def test_the_root_may_sign_devices_and_no_further_authorities(authority: Authority) -> None:
    root = x509.load_pem_x509_certificate(authority.certificate.encode())
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert root.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_it_survives_being_written_and_read(authority: Authority) -> None:
    again = Authority.from_pem(authority.to_pem())
    assert again.certificate == authority.certificate
    request = Request(request_for(ec.generate_private_key(ec.SECP256R1())))
    signed = x509.load_pem_x509_certificate(again.sign_device(request, "gw-1", NOW).encode())
    signed.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate.encode()))


def test_a_key_with_anothers_certificate_is_refused(authority: Authority) -> None:
    other = Authority.make("default", NOW)
    key = other.to_pem().partition(b"-----BEGIN CERTIFICATE")[0]
    with pytest.raises(ValueError, match="not for its key"):
        Authority.from_pem(key + authority.certificate.encode())


def test_a_key_that_is_no_elliptic_curve_key_is_refused(authority: Authority) -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="elliptic-curve"):
        Authority.from_pem(pem + authority.certificate.encode())


@pytest.mark.parametrize(
    "text", ["", "rubbish", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
)
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(RequestWrong):
        Request(text)


def test_a_request_changed_after_it_was_signed_is_refused() -> None:
    der = x509.load_pem_x509_csr(request_for(ec.generate_private_key(ec.SECP256R1()), "gw-1").encode()).public_bytes(
        serialization.Encoding.DER
    )
    forged = x509.load_der_x509_csr(der.replace(b"gw-1", b"gw-2")).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(RequestWrong, match="not signed with the key"):
        Request(forged.decode())


def test_a_request_for_an_rsa_key_is_refused() -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw-1")])
    pem = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    with pytest.raises(RequestWrong, match="neither"):
        Request(pem.public_bytes(serialization.Encoding.PEM).decode())


def test_the_fingerprint_is_the_keys_and_not_the_requests() -> None:
    key, other = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    assert Request(request_for(key, "a")).fingerprint == Request(request_for(key, "b")).fingerprint
    assert Request(request_for(key)).fingerprint != Request(request_for(other)).fingerprint


def test_tls_takes_the_certificate_as_a_clients(tmp_path: Path) -> None:
    authority = Authority.make("default")
    paths = {}
    for name in ("broker", "gw-1"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = authority.sign_device(Request(request_for(key)), name, datetime.now(UTC))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        paths[name] = tmp_path / f"{name}.pem"
        paths[name].write_bytes(secret + certificate.encode())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(paths["broker"])
    server.load_verify_locations(cadata=authority.certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.load_cert_chain(paths["gw-1"])
    one, two = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [server.wrap_bio(one, two, server_side=True), client.wrap_bio(two, one)]
    done: set[int] = set()
    for _ in range(10):
        for number, side in enumerate(sides):
            try:
                side.do_handshake()
                done.add(number)
            except ssl.SSLWantReadError:
                continue
    assert done == {0, 1}
    peer = sides[0].getpeercert()
    assert peer is not None
    assert peer["subject"] == ((("commonName", "gw-1"),),)

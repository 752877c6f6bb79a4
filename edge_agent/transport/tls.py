"""TLS to a broker, with the device's own certificate. Imported only when the hub asks for TLS."""

import ssl
from pathlib import Path

from edge_agent.durable import write_durably
from edge_agent.errors import StateUnusable
from edge_agent.state import StateFolder
from fleet_contract.join import Identity


def context(identity: Identity, state: StateFolder) -> ssl.SSLContext:
    """`presenting` what the state folder holds; the certificate is written there, if it is not yet."""
    certificate: Path = state.path / "device.crt"
    try:
        # The library reads a certificate chain from a file only.
        if not certificate.exists() or certificate.read_bytes() != identity.certificate.encode():
            # Only then: on a full disk, too, a device must be able to say so.
            write_durably(certificate, identity.certificate.encode())
    except OSError as error:
        raise _unusable(state.path, error) from error
    return presenting(identity, certificate, state.device_key)


def presenting(identity: Identity, certificate: Path, key: Path) -> ssl.SSLContext:
    """Trusts the fleet's authority and nobody else, and shows the device's certificate. Raises `StateUnusable`."""
    try:
        made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=identity.authority)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(key.parent, error) from error
    return made


def _unusable(folder: Path, error: OSError) -> StateUnusable:
    return StateUnusable(
        f"The device's certificate and key in {folder} cannot be used: {error}.",
        "Join again with a new token from `vedette devices token`.",
    )


def artifacts_context(identity: Identity) -> ssl.SSLContext:
    """For artifacts over https: trusts whom the system trusts, for a hub or a store with a public name, and the fleet's
    own authority. Raises OSError."""
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    if identity.authority:
        made.load_verify_locations(cadata=identity.authority)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made

"""The hub's keys: made on its first start, kept in its data folder where only its user can read them."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cloud_hub.errors import CannotStart
from fleet_contract.signing import PrivateKey
from provisioning.pki import Authority


@dataclass(frozen=True)
class Keys:
    """`hub` signs desired states and identities, `release` manifests; `url_secret` blob URLs and cookies."""

    hub: PrivateKey
    release: PrivateKey
    url_secret: bytes
    authority: Authority


def open_keys(folder: Path, fleet: str) -> Keys:
    """The keys in `folder`, those that are missing made. Raises `CannotStart` for one that cannot be read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return Keys(
            hub=PrivateKey(_secret(folder / "hub.key")),
            release=PrivateKey(_secret(folder / "release.key")),
            url_secret=_secret(folder / "url.key"),
            authority=_authority(folder, fleet),
        )
    except (OSError, ValueError) as error:
        raise CannotStart(
            f"The keys in {folder} cannot be used: {error}.",
            "Restore them from a backup: devices trust no others. Without one, move the folder away and join again.",
            code="keys-unusable",
        ) from error


def _secret(path: Path) -> bytes:
    if not path.exists():
        _write(path, secrets.token_bytes(32).hex().encode() + b"\n")
    value = bytes.fromhex(path.read_text(encoding="ascii"))
    if len(value) != 32:
        raise ValueError(f"{path.name} holds {len(value)} bytes, and should hold 32")
    return value


def _authority(folder: Path, fleet: str) -> Authority:
    path = folder / "authority.pem"
    if not path.exists():
        _write(path, Authority.make(fleet).to_pem())
    return Authority.from_pem(path.read_bytes())


def _write(path: Path, content: bytes) -> None:
    # Written aside and renamed: a hub killed here must not find half a key and refuse to start for ever.
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

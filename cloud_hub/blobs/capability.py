"""URLs that are a permission: whoever has one may read one blob until it expires."""

import hashlib
import hmac
from datetime import datetime

from cloud_hub.errors import Forbidden


class Capabilities:
    """Makes and checks URLs with a secret that only the hub has."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def url(self, digest: str, expires_at: datetime) -> str:
        """A URL, relative to the hub's address, that reads `digest` until `expires_at`."""
        expires = int(expires_at.timestamp())
        return f"/blobs/{digest}?expires={expires}&signature={self._signature(digest, expires)}"

    def check(self, digest: str, expires: int, signature: str, now: datetime) -> None:
        """Raises `Forbidden` ("url-wrong", "url-expired")."""
        if not hmac.compare_digest(self._signature(digest, expires).encode(), signature.encode()):
            raise Forbidden("This URL was not made by this hub, or was changed.", code="url-wrong")
        if now.timestamp() >= expires:
            raise Forbidden(
                "This URL has expired.", "Wait for the next desired state; it brings another.", code="url-expired"
            )

    def _signature(self, digest: str, expires: int) -> str:
        return hmac.new(self._secret, f"vedette/v1/blob\n{digest}\n{expires}".encode(), hashlib.sha256).hexdigest()

"""Sessions of the console: a cookie that proves, until it expires, that its owner knew the API token.

It holds no token: who reads it can use it until it expires, and not for anything else. Another API token ends all.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

from cloud_hub.errors import Unauthorized

COOKIE = "vedette-session"
LASTS = timedelta(hours=12)


class Sessions:
    """`token` is the API token that the hub was started with; `now` gives aware UTC datetimes. Pure."""

    def __init__(self, token: str, now: Callable[[], datetime]) -> None:
        self._token = token.encode()
        self._now = now

    def open(self, offered: str) -> str:
        """The cookie's value for who offers the API token. Raises `Unauthorized`."""
        if not hmac.compare_digest(offered.encode(), self._token):
            raise Unauthorized("That is not this hub's API token.", "It is what VEDETTE_API_TOKEN was set to.")
        return self._value(int((self._now() + LASTS).timestamp()))

    def holds(self, cookie: str | None) -> bool:
        """Whether `cookie` was made by `open` and has not expired."""
        expires, _, _ = (cookie or "").partition(".")
        if not (expires.isascii() and expires.isdigit() and len(expires) < 12):
            return False
        known = self._value(int(expires))
        return hmac.compare_digest(known.encode(), (cookie or "").encode()) and self._now().timestamp() < int(expires)

    def _value(self, expires: int) -> str:
        proof = hmac.digest(self._token, f"vedette-console-session/{expires}".encode(), hashlib.sha256)
        return f"{expires}.{proof.hex()}"

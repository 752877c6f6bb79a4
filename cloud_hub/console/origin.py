"""Keeps pages of other sites from pressing our buttons.

A hub on loopback without a token would otherwise take a form that any web page sends it.
"""

from urllib.parse import urlsplit

from fastapi import Request

from cloud_hub.errors import Forbidden


def refuse_foreign(request: Request) -> None:
    """Raises `Forbidden` for a form that a browser says comes from elsewhere. Other clients do not say."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = site not in (None, "same-origin", "none")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        foreign = True
    if foreign:
        raise Forbidden(
            f"This form was sent by a page of {origin or 'another site'}, and not by the console.",
            "Open the console itself and use its buttons.",
            code="origin-foreign",
        )

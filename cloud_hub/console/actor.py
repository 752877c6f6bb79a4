"""Who acts in this browser: typed once with the first action, and remembered for the next."""

from fastapi import Request, Response

from cloud_hub.access.actor import COOKIE, OPERATOR, check_actor
from cloud_hub.errors import Invalid

_LASTS_SECONDS = 365 * 86_400


def remembered(request: Request) -> str:
    """Who acted here before; nobody when it was nobody, or is no name."""
    name = request.cookies.get(COOKIE, "")
    try:
        return check_actor(name) if name else ""
    except Invalid:
        return ""


def acting(name: str) -> str:
    """The audit name of who typed `name`. Raises `Invalid` where that is none."""
    return check_actor(name.strip()) if name.strip() else OPERATOR


def remember(request: Request, response: Response, name: str) -> None:
    secure = request.url.scheme == "https"
    if name != OPERATOR:
        response.set_cookie(COOKIE, name, _LASTS_SECONDS, httponly=True, samesite="strict", secure=secure)

"""Signing in to the console with the API token, where one is set."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from cloud_hub.access.sessions import COOKIE, LASTS, Sessions
from cloud_hub.console import words
from cloud_hub.console.render import Renderer
from cloud_hub.errors import Unauthorized


def router(sessions: Sessions | None, renderer: Renderer) -> APIRouter:
    """`/login` and `/logout`. Without an API token everyone is in already, and both lead to the fleet."""
    api = APIRouter()

    def ask(request: Request, to: str, status: int = 200, wrong: str = "") -> Response:
        lasts = words.duration(LASTS.total_seconds())
        return renderer.page(request, "login.html", status=status, to=own_path(to), wrong=wrong, lasts=lasts, bare=True)

    @api.get("/login")
    def login(request: Request, to: str = "/") -> Response:
        if sessions is None or sessions.holds(request.cookies.get(COOKIE)):
            return RedirectResponse(own_path(to), 303)
        return ask(request, to)

    @api.post("/login")
    def enter(request: Request, token: Annotated[str, Form()] = "", to: Annotated[str, Form()] = "/") -> Response:
        response = RedirectResponse(own_path(to), 303)
        if sessions is not None:
            try:
                cookie = sessions.open(token.strip())
            except Unauthorized as error:
                return ask(request, to, 401, str(error))
            seconds, secure = int(LASTS.total_seconds()), request.url.scheme == "https"
            response.set_cookie(COOKIE, cookie, seconds, httponly=True, samesite="strict", secure=secure)
        return response

    @api.post("/logout")
    def leave() -> Response:
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return api


def own_path(to: str) -> str:
    """`to` if it is a path of this hub, else the fleet: a link must not lead anyone elsewhere after signing in."""
    own = to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable()
    return to if own else "/"

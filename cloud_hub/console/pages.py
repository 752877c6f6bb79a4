"""The console as one router, and how it shows errors. Wiring:

console = Console(Parts(...), sessions)         # sessions: None while no API token is set
problems.install(app, console.problem)
app.include_router(console.router)
"""

from fastapi import APIRouter

from cloud_hub.access.sessions import Sessions
from cloud_hub.console import (
    assets,
    audit_page,
    cohort_pages,
    device_pages,
    freezing,
    join_pages,
    label_pages,
    lake_page,
    login,
    manifest_pages,
    model_pages,
    new_rollout,
    overview,
    pin_pages,
    rollout_pages,
    stream,
)
from cloud_hub.console.parts import Parts
from cloud_hub.console.problem_page import ProblemPage
from cloud_hub.console.render import Renderer

#: What someone who has not signed in may still get.
OPEN_PATHS = ("/login", assets.PREFIX + "/", "/favicon.ico")


class Console:
    """`router` has all pages, the stream and the assets; `problem` turns problems into pages.

    Raises `CannotStart` when the assets are not built.
    """

    def __init__(self, parts: Parts, sessions: Sessions | None = None) -> None:
        built = assets.Assets()
        renderer = Renderer(
            built, parts.fleet, parts.version, parts.now, parts.freeze.show, signed_in=sessions is not None
        )
        self.problem = ProblemPage(renderer)
        self.router = APIRouter(include_in_schema=False)
        for page in (
            overview,
            device_pages,
            cohort_pages,
            pin_pages,
            join_pages,
            model_pages,
            label_pages,
            new_rollout,
            manifest_pages,
            rollout_pages,
            lake_page,
            audit_page,
        ):
            self.router.include_router(page.router(parts, renderer))
        self.router.include_router(freezing.router(parts))
        self.router.include_router(login.router(sessions, renderer))
        self.router.include_router(stream.router(parts.changes))
        self.router.include_router(assets.router(built))

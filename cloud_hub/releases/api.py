"""Models and versions over HTTP."""

from fastapi import APIRouter, status

from cloud_hub.access.once import keyed
from cloud_hub.access.request_key import RequestKeyHeader
from cloud_hub.page import Page, PageQuery
from cloud_hub.releases.service import ReleaseService
from cloud_hub.releases.views import ModelView, VersionIn, VersionView


def router(releases: ReleaseService) -> APIRouter:
    """The routes /models."""
    routes = APIRouter(tags=["models"])

    @routes.get("/models", summary="List models")
    def list_models(page: PageQuery) -> Page[ModelView]:
        """Sorts: name, created_at, newest_version."""
        return releases.models(page)

    @routes.get("/models/{name}", summary="Show one model")
    def show_model(name: str) -> ModelView:
        return releases.model(name)

    @routes.get("/models/{name}/versions", summary="List a model's versions, newest first")
    def list_versions(name: str, page: PageQuery) -> Page[VersionView]:
        """Sorts: version, created_at."""
        return releases.versions(name, page)

    @routes.get("/models/{name}/versions/{version}", summary="Show one version")
    def show_version(name: str, version: int) -> VersionView:
        return releases.version(name, version)

    @routes.post("/models/{name}/versions", status_code=status.HTTP_201_CREATED, summary="Register a version")
    def register(name: str, version: VersionIn, key: RequestKeyHeader = None) -> VersionView:
        """Upload the blobs first. Each artifact is loaded and must answer its golden set before it is signed.
        Sent again with the same Idempotency-Key, it answers with the version that it registered."""
        return releases.register(name, version, keyed(key, f"models/{name}/versions", version))

    return routes

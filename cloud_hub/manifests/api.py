"""Manifests over HTTP."""

from typing import Any

from fastapi import APIRouter, Response

from cloud_hub.access.actor import Actor
from cloud_hub.access.if_match import SeenTags
from cloud_hub.access.request_key import RequestKeyHeader
from cloud_hub.errors import NotFound
from cloud_hub.manifests.kinds import KINDS, schema
from cloud_hub.manifests.service import ManifestService
from cloud_hub.manifests.views import ApplyView, DiffView, ManifestsIn


def router(manifests: ManifestService) -> APIRouter:
    """The routes /schemas and /manifests."""
    routes = APIRouter(tags=["manifests"])

    @routes.post("/manifests/diff", summary="Show what applying manifests would change")
    def diff(wanted: ManifestsIn, response: Response) -> DiffView:
        """Changes nothing. All that is wrong with the files is told at once, with line and column."""
        told = manifests.diff(wanted.files, again=wanted.again)
        response.headers["ETag"] = f'"{told.seen}"'
        return told

    @routes.post("/manifests/apply", summary="Apply manifests")
    def apply(wanted: ManifestsIn, by: Actor, seen: SeenTags, key: RequestKeyHeader = None) -> ApplyView:
        """A manifest whose spec is what its newest rollout has changes nothing; one with another spec starts a rollout
        that takes over. Nothing is started when anything is wrong with any file, or when it would do something else
        than the diff whose ETag comes as If-Match."""
        return manifests.apply(wanted.files, by, again=wanted.again, key=key, seen=seen)

    @routes.get("/schemas/{kind}.json", summary="Show the JSON Schema of a kind of manifest")
    def show_schema(kind: str) -> dict[str, Any]:
        """Draft 2020-12. `kind` in lower case, as in /schemas/rollout.json."""
        for known in KINDS:
            if known.lower() == kind:
                return schema(known)
        raise NotFound(
            f"There is no kind of manifest {kind!r}.", f"There are {', '.join(KINDS)}.", code="manifest-kind-unknown"
        )

    return routes

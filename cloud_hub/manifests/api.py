"""Manifests over HTTP."""

from typing import Any

from fastapi import APIRouter

from cloud_hub.errors import NotFound
from cloud_hub.manifests.kinds import KINDS, schema


def router() -> APIRouter:
    """The routes /schemas and /manifests."""
    routes = APIRouter(tags=["manifests"])

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

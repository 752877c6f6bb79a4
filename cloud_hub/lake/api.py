"""The lake over HTTP. Wiring: `router(lake)`, included under /api/v1."""

from fastapi import APIRouter

from cloud_hub.lake.service import LakeService
from cloud_hub.lake.views import QueryRequest, QueryView, TableView


def router(lake: LakeService) -> APIRouter:
    """The routes of the lake."""
    routes = APIRouter(prefix="/lake", tags=["lake"])

    @routes.post("/query")
    def query(request: QueryRequest) -> QueryView:
        """Runs one SELECT over the lake's tables, in DuckDB's SQL. It may take 30 seconds and 512 MB."""
        return lake.query(request)

    @routes.get("/tables")
    def tables() -> list[TableView]:
        """The lake's tables: columns, rows, size, version, and where other readers of Delta tables find them."""
        return lake.tables()

    return routes

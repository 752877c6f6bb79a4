"""Asking the lake in SQL: a form, an answer, the tables there are, and questions to start from."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from cloud_hub.console.parts import Parts
from cloud_hub.console.query import Query
from cloud_hub.console.render import Renderer
from cloud_hub.errors import HubError
from cloud_hub.lake.views import QueryRequest, QueryView, TableView

_ROWS_SHOWN = 200
_SQL_LONGEST = 20_000


@dataclass(frozen=True)
class Example:
    question: str
    sql: str


EXAMPLES = (
    Example(
        "How much did each version do, and how much of it failed?",
        "SELECT model, version, sum(count) AS records, sum(errors) AS errors, count(DISTINCT device) AS devices\n"
        "FROM windows GROUP BY model, version ORDER BY model, version",
    ),
    Example(
        "Which devices sent the most in the last hour?",
        "SELECT device, sum(count) AS records, max(ended_at) AS newest\n"
        "FROM windows WHERE ended_at > now() - INTERVAL 1 HOUR GROUP BY device ORDER BY records DESC LIMIT 20",
    ),
    Example("What do the newest windows look like?", "SELECT * FROM windows ORDER BY started_at DESC LIMIT 20"),
    Example(
        "Of which records that devices have kept was a model least sure?",
        "SELECT device, model, version, label, confidence, margin, capture\n"
        "FROM samples WHERE margin IS NOT NULL ORDER BY margin LIMIT 20",
    ),
)


class Lake:
    """The page. A query that cannot be answered is part of it, and not an error of its own."""

    examples = EXAMPLES
    numbers = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"})
    example = EXAMPLES[0].sql

    def __init__(self, parts: Parts, sql: str) -> None:
        self.sql = sql
        self.answer: QueryView | None = None
        self.problem: HubError | None = None
        self.tables: list[TableView] = []
        try:
            self.tables = parts.lake.tables()
        except HubError as error:
            self.problem = error
        if sql:
            try:
                self.answer = parts.lake.query(QueryRequest(sql=sql[:_SQL_LONGEST], limit=_ROWS_SHOWN))
            except HubError as error:
                self.problem = error


def router(parts: Parts, renderer: Renderer) -> APIRouter:
    """`/lake`."""
    api = APIRouter()

    @api.get("/lake")
    def lake(request: Request) -> Response:
        return renderer.page(request, "lake.html", view=Lake(parts, Query(request).text("sql") or ""))

    return api

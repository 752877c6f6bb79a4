"""A lake of one table, which answers everything alike."""

from dataclasses import dataclass, field

from cloud_hub.errors import Invalid
from cloud_hub.lake.views import ColumnView, QueryRequest, QueryView, TableView


@dataclass
class FakeLake:
    asked: list[str] = field(default_factory=list)

    def query(self, request: QueryRequest) -> QueryView:
        self.asked.append(request.sql)
        if "SELECT" not in request.sql.upper():
            raise Invalid("The lake could not answer: syntax error at or near 'SELEC'.", "Ask with one SELECT.")
        columns = [
            ColumnView(name=name, type=kind)
            for name, kind in (("model", "VARCHAR"), ("version", "INTEGER"), ("records", "BIGINT"))
        ]
        return QueryView(columns=columns, rows=[["digits", 1, 184220], ["digits", 3, 9120]], truncated=False)

    def tables(self) -> list[TableView]:
        columns = [
            ColumnView(name=name, type=kind)
            for name, kind in (("device", "VARCHAR"), ("model", "VARCHAR"), ("version", "INTEGER"), ("count", "BIGINT"))
        ]
        return [
            TableView(
                name="windows",
                location="file:lake/windows",
                version=214,
                rows=193340,
                files=6,
                size_bytes=2_400_000,
                partitioned_by=["day"],
                columns=columns,
            )
        ]

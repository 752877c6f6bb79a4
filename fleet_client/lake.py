"""The lake: SQL over what the fleet's devices sent."""

from fleet_client.http import API, Http
from fleet_client.views import LakeTable, Rows


class Lake:
    """`client.lake`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def query(self, sql: str, limit: int | None = None) -> Rows:
        """What `sql` (one SELECT, in DuckDB's dialect) finds, `limit` rows at most."""
        body = {"sql": sql} if limit is None else {"sql": sql, "limit": limit}
        return self._http.ask(Rows, f"{API}/lake/query", body)

    def tables(self) -> tuple[LakeTable, ...]:
        """The tables that a query may name."""
        return self._http.get(tuple[LakeTable, ...], f"{API}/lake/tables")

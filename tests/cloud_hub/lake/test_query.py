"""SQL over the lake answers questions, and does nothing else."""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.console.lake_page import EXAMPLES
from cloud_hub.lake import api
from cloud_hub.lake.location import Location
from cloud_hub.lake.query import Limits, QueriesBusy, QueryTimeout, QueryWrong
from cloud_hub.lake.service import LakeService
from cloud_hub.lake.table import LakeTable
from cloud_hub.lake.views import QueryRequest, QueryView
from tests.fakes.lake import NOW, rows

Open = Callable[[Location], LakeTable]
#: Some hours' worth of work.
ROOT = Path(__file__).parents[3]
ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"


def fill(table: LakeTable) -> None:
    for device, count in (("gateway-1", 3), ("gateway-2", 2)):
        seen, _ = table.marks()
        table.append(rows(*range(1, count + 1), device=device), {f"{device}/b0": count}, seen, NOW)


@pytest.fixture
def lake(folder: Location, open_table: Open) -> LakeService:
    fill(open_table(folder))
    return LakeService(folder)


def ask(lake: LakeService, sql: str, limit: int = 100) -> QueryView:
    return lake.query(QueryRequest(sql=sql, limit=limit))


def test_rows_are_counted_by_device(location: Location, open_table: Open) -> None:
    fill(open_table(location))
    answer = ask(LakeService(location), "SELECT device, sum(count) AS records FROM windows GROUP BY device ORDER BY 1")
    assert answer.rows == [["gateway-1", 30], ["gateway-2", 20]]
    assert [column.name for column in answer.columns] == ["device", "records"]
    assert not answer.truncated


def told() -> list[str]:
    """The queries that the manuals and the console show."""
    pages = [ROOT / "README.md", ROOT / "fleet_client/cli/lake.py", *(ROOT / "docs").glob("*.md")]
    found = [sql for page in pages for sql in re.findall(r'lake query "([^"]+)"', page.read_text())]
    assert {"windows", "events", "samples"} == {table for sql in found for table in re.findall(r"FROM (\w+)", sql)}
    return found + [example.sql for example in EXAMPLES]


@pytest.mark.parametrize("sql", told())
def test_what_manuals_and_console_ask_can_be_asked(folder: Location, sql: str) -> None:
    ask(LakeService(folder), sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT predictions['3'] FROM windows LIMIT 1", 7),
        ("SELECT predictions FROM windows LIMIT 1", {"3": 7, "8": 3}),
        ("SELECT latency FROM windows LIMIT 1", {"100": 6, "120": 4}),
        ("SELECT features FROM windows LIMIT 1", {"image.mean": [1, 9], "image.std": [10, 0]}),
        ("SELECT labels['site'] FROM windows LIMIT 1", "north"),
        ("SELECT confidence FROM windows LIMIT 1", [0, 4, 6]),
        ("SELECT max(started_at) FROM windows", "2026-11-02T12:00:00+00:00"),
        ("SELECT date_trunc('day', max(started_at)) FROM windows", "2026-11-02T00:00:00+00:00"),
        ("SELECT max(day) FROM windows", "2026-11-02"),
        ("SELECT round(max(latency_p95_us)) > 0 FROM windows", True),
        ("WITH one AS (SELECT 1 AS n) SELECT n FROM one", 1),
        ("SELECT {'a': 1, 'b': [true, NULL]}", {"a": 1, "b": [True, None]}),
        ("SELECT 'nan'::DOUBLE", None),
        ("SELECT 9007199254740993", "9007199254740993"),
        ("SELECT 1.50::DECIMAL(10, 2)", "1.50"),
        ("SELECT 3::HUGEINT", 3),
        ("SELECT 'ab'::BLOB", "6162"),
        ("SELECT TIME '10:20:30'", "10:20:30"),
    ],
)
def test_values_come_as_json_can_hold_them(lake: LakeService, sql: str, expected: Any) -> None:
    assert ask(lake, sql).rows == [[expected]]


def test_no_more_rows_come_than_were_asked_for(lake: LakeService) -> None:
    answer = ask(lake, "SELECT * FROM range(1000000)", limit=3)
    assert answer.rows == [[0], [1], [2]]
    assert answer.truncated


def test_rows_that_were_not_asked_for_are_not_computed(lake: LakeService) -> None:
    began = time.monotonic()
    assert ask(lake, "SELECT md5(range::VARCHAR) FROM range(100000000000)", limit=1).truncated
    assert time.monotonic() - began < 60


def test_exactly_as_many_rows_as_asked_for_are_not_called_truncated(lake: LakeService) -> None:
    assert not ask(lake, "SELECT * FROM range(3)", limit=3).truncated


def test_a_result_without_rows_has_its_columns(lake: LakeService) -> None:
    answer = ask(lake, "SELECT device FROM windows WHERE false")
    assert (answer.rows, [column.type for column in answer.columns]) == ([], ["VARCHAR"])


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO windows VALUES (1)",
        "CREATE TABLE mine AS SELECT 1",
        "DELETE FROM windows",
        "DROP VIEW windows",
        "ATTACH '/tmp/other.db'",
        "COPY windows TO '/tmp/out.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 64",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE SELECT 1",
    ],
)
def test_nothing_but_a_select_is_run(lake: LakeService, sql: str) -> None:
    with pytest.raises(QueryWrong, match="only read here"):
        ask(lake, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')",
        "SELECT * FROM sqlite_scan('/tmp/hub.sqlite', 'devices')",
        "SELECT getenv('HOME')",
        # Variables of the process, which DuckDB would else look through for a table of that name.
        "SELECT * FROM tables",
        "SELECT * FROM rows",
    ],
)
def test_a_select_reaches_nothing_but_the_lake(lake: LakeService, sql: str) -> None:
    with pytest.raises(QueryWrong):
        ask(lake, sql)


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", ";", "-- nothing"])
def test_it_takes_exactly_one_statement(lake: LakeService, sql: str) -> None:
    with pytest.raises(QueryWrong, match="statements"):
        ask(lake, sql)


def test_a_mistake_is_named_in_a_sentence(lake: LakeService) -> None:
    with pytest.raises(QueryWrong, match="devise"):
        ask(lake, "SELECT devise FROM windows")
    with pytest.raises(QueryWrong, match="SELEC"):
        ask(lake, "SELEC 1")
    with pytest.raises(QueryWrong, match="Conversion"):
        ask(lake, "SELECT device::INTEGER FROM windows")


def test_a_query_that_takes_too_long_is_stopped(folder: Location) -> None:
    lake = LakeService(folder, Limits(seconds=0.5))
    began = time.monotonic()
    with pytest.raises(QueryTimeout, match=r"longer than 0\.5 s"):
        ask(lake, ENDLESS)
    assert time.monotonic() - began < 60


def test_a_query_that_needs_too_much_memory_is_stopped(folder: Location) -> None:
    lake = LakeService(folder, Limits(memory_mb=50))
    with pytest.raises(QueryWrong, match=r"(?i)memory"):
        ask(lake, "SELECT count(*) FROM (SELECT range, md5(range::VARCHAR) FROM range(50000000) ORDER BY 2)")


def test_no_more_queries_run_at_once_than_may(folder: Location) -> None:
    lake = LakeService(folder, Limits(seconds=1.0, at_once=1))
    ended: list[type[Exception]] = []

    def impatient() -> None:
        try:
            ask(lake, ENDLESS)
        except (QueriesBusy, QueryTimeout) as error:
            ended.append(type(error))

    threads = [threading.Thread(target=impatient) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ended) == {QueriesBusy, QueryTimeout}
    assert ask(lake, "SELECT 1").rows == [[1]]


def test_queries_see_what_ingest_has_written_since(folder: Location, open_table: Open) -> None:
    table, lake = open_table(folder), LakeService(folder)
    assert ask(lake, "SELECT count(*) FROM windows").rows == [[0]]
    fill(table)
    assert ask(lake, "SELECT count(*) FROM windows").rows == [[5]]
    table.compact()
    assert ask(lake, "SELECT count(*) FROM windows").rows == [[5]]


def test_the_table_is_described_for_other_readers(location: Location, open_table: Open) -> None:
    fill(open_table(location))
    table, events, samples = LakeService(location).tables()
    assert (table.name, table.location, table.version, table.rows, table.files) == ("windows", location.uri, 2, 5, 2)
    assert table.size_bytes > 0
    assert table.partitioned_by == ["day"]
    types = {column.name: column.type for column in table.columns}
    assert types["device"] == "VARCHAR"
    assert types["predictions"] == "MAP(VARCHAR, BIGINT)"
    assert types["started_at"] == "TIMESTAMP WITH TIME ZONE"
    assert (events.name, events.rows) == ("events", 0)
    assert "sentence" in {column.name for column in events.columns}
    assert (samples.name, samples.rows) == ("samples", 0)
    assert {"reason", "capture", "margin"} <= {column.name for column in samples.columns}


class TestOverHttp:
    @pytest.fixture
    def client(self, lake: LakeService) -> TestClient:
        app = FastAPI()
        problems.install(app)
        app.include_router(api.router(lake), prefix="/api/v1")
        return TestClient(app)

    def test_a_query_is_answered(self, client: TestClient) -> None:
        answer = client.post("/api/v1/lake/query", json={"sql": "SELECT count(*) AS n FROM windows"})
        assert answer.json() == {"columns": [{"name": "n", "type": "BIGINT"}], "rows": [[5]], "truncated": False}

    def test_a_wrong_query_is_a_problem_with_a_code(self, client: TestClient) -> None:
        answer = client.post("/api/v1/lake/query", json={"sql": "SELECT nothing FROM nowhere"})
        assert answer.status_code == 422
        assert answer.json()["code"] == "query-wrong"
        assert "nowhere" in answer.json()["detail"]

    def test_a_limit_out_of_range_is_refused(self, client: TestClient) -> None:
        assert client.post("/api/v1/lake/query", json={"sql": "SELECT 1", "limit": 0}).status_code == 422

    def test_tables_are_listed(self, client: TestClient) -> None:
        table, *_ = client.get("/api/v1/lake/tables").json()
        assert (table["name"], table["rows"]) == ("windows", 5)

    def test_a_lake_that_is_away_is_503(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        app = FastAPI()
        problems.install(app)
        app.include_router(api.router(LakeService(Location.of(str(tmp_path / "file"), "windows"))))
        answer = TestClient(app).post("/lake/query", json={"sql": "SELECT 1"})
        assert (answer.status_code, answer.json()["code"]) == (503, "lake-unavailable")

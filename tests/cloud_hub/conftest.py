"""What tests of the hub stand on: both databases, both kinds of blob store, a clock that stands still."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import event, make_url

from cloud_hub.database import Database
from tests.fakes.clock import StoppedClock
from tests.fakes.postgres import Postgres, postgres
from tests.fakes.s3 import S3


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: Postgres) -> str:
    """The name of a migrated PostgreSQL database, which is empty at the start of each test."""
    name = postgres_server.new_database()
    database = Database(postgres_server.url(name))
    database.migrate()
    database.dispose()
    return name


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a migrated, empty SQLite database that tests copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    with database.engine.connect() as connection:
        connection.rollback()
        connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    database.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database; each test that asks runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "hub.sqlite"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
    else:
        server: Postgres = request.getfixturevalue("postgres_server")
        name: str = request.getfixturevalue("migrated_postgres")
        yield server.url(name)
        server.empty_database(name)


@pytest.fixture(scope="session")
def databases() -> dict[str, Database]:
    """One of each kind, by its kind: what SQLAlchemy has compiled for one test serves all others."""
    return {}


@pytest.fixture
def database(database_url: str, databases: dict[str, Database]) -> Iterator[Database]:
    """A migrated, empty database; each test that asks runs on SQLite and on PostgreSQL."""
    url = make_url(database_url)
    if (database := databases.get(url.get_backend_name())) is None:
        database = databases[url.get_backend_name()] = Database(database_url)
        if database.is_sqlite:
            _of_this_test(database)
    database.url = database.url.set(database=url.database)
    yield database
    database.dispose()


def _of_this_test(database: Database) -> None:
    @event.listens_for(database.engine, "do_connect")
    def _go_there(_dialect: object, _record: object, where: list[Any], _how: object) -> None:
        where[:] = [database.url.database]

    @event.listens_for(database.engine, "connect")
    def _hurry(connection: Any, _record: object) -> None:
        # A test's database need not survive a power cut.
        connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """An empty bucket in a real S3 server (moto's). AWS_* in the environment point there, for boto3 and deltalake."""
    for name, value in S3.environment(s3_server).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    client: Any = boto3.client("s3", endpoint_url=s3_server)
    found = S3.with_new_bucket(s3_server, client)
    yield found
    found.close()


@pytest.fixture
def clock() -> StoppedClock:
    """A clock that goes only where a test puts it."""
    return StoppedClock()

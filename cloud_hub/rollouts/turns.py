"""Whoever says what devices should run, and whoever orders them to it, take turns, whatever the hub they are in.

An order that is being written goes by what held when it was begun. Without turns, a revert, a freeze or a pin could be
committed meanwhile, find that nothing is to be undone, and call itself done; the order would come after it.
"""

from sqlalchemy import text
from sqlmodel import Session

#: Of all that lock something in a PostgreSQL that we may share, this number is ours.
_TURN = 0x76656465747466


def ordering(session: Session) -> None:
    """Until the commit nobody says anything else about what devices should run; others may order, too.

    First of all in a transaction: who waits for a turn holds nothing that another waits for.
    """
    _wait(session, "pg_advisory_xact_lock_shared")


def saying(session: Session) -> None:
    """Until the commit nobody orders devices, and what was being ordered is committed. First in a transaction."""
    _wait(session, "pg_advisory_xact_lock")


def _wait(session: Session, lock: str) -> None:
    # SQLite has one writer at a time, from the beginning of its transaction.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT {lock}(:turn)"), {"turn": _TURN})

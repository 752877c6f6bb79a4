"""Alembic's way in: the connection that `Database.migrate` holds, and the tables of every subject."""

import importlib
import pkgutil
from typing import Literal

from alembic import context
from sqlmodel import AutoString, SQLModel

import cloud_hub
from cloud_hub.database import UtcDateTime

for module in pkgutil.walk_packages(cloud_hub.__path__, "cloud_hub."):
    if module.name.endswith(".tables"):
        importlib.import_module(module.name)


def _render(kind: str, item: object, _context: object) -> str | Literal[False]:
    """How a new migration writes our own types: as plain ones, which mean the same whatever becomes of ours."""
    match kind, item:
        case "type", UtcDateTime():
            return "sa.DateTime(timezone=True)"
        case "type", AutoString():
            return "sa.String()"
        case _:
            return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    # SQLite cannot alter most of a column; Alembic then makes the table anew and copies it.
    render_as_batch=True,
    compare_type=True,
    render_item=_render,
    # True of SQLite too with the BEGIN that `Database` sends: a hub killed in between finds nothing half done.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

"""Alembic's way in: the connection that `Database.migrate` holds, and the tables of every subject."""

import importlib
import pkgutil

from alembic import context
from sqlmodel import SQLModel

import cloud_hub

for module in pkgutil.walk_packages(cloud_hub.__path__, "cloud_hub."):
    if module.name.endswith(".tables"):
        importlib.import_module(module.name)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    # SQLite cannot alter most of a column; Alembic then makes the table anew and copies it.
    render_as_batch=True,
    compare_type=True,
    # True of SQLite too with the BEGIN that `Database` sends: a hub killed in between finds nothing half done.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

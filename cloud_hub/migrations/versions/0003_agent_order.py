"""Agents can be compared by version in the database

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

from cloud_hub.devices.versions import order_of

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    bytewise = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.add_column("devices", sa.Column("agent_order", bytewise, nullable=True))
    # A device that is away would else be outside all selectors on its agent until it comes back.
    devices = sa.table("devices", sa.column("agent_version"), sa.column("agent_order"))
    connection = op.get_bind()
    for (version,) in connection.execute(sa.select(devices.c.agent_version).distinct()).all():
        update = sa.update(devices).where(devices.c.agent_version == version)
        connection.execute(update.values(agent_order=order_of(version)))


def downgrade() -> None:
    # Not in batch mode: on SQLite it makes the table anew, and with the old one goes all that belongs to a device.
    op.drop_column("devices", "agent_order")

"""Devices can be pinned

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    at = sa.DateTime(timezone=True)
    op.create_table(
        "pins",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("selector", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("since", at, nullable=False),
        sa.Column("until", at, nullable=False),
        sa.Column("ended_at", at, nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.Column("owed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_pins_device", "pins", ["device"])


def downgrade() -> None:
    op.drop_table("pins")

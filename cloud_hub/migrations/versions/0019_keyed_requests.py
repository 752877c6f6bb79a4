"""Requests that their callers named are done once

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "keyed_requests",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("done", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_keyed_requests_at", "keyed_requests", ["at"])


def downgrade() -> None:
    op.drop_index("ix_keyed_requests_at", "keyed_requests")
    op.drop_table("keyed_requests")

"""A rollout says what only a person can answer of its open wave, and what one has

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("asked", "accepted"):
        op.add_column("rollouts", sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    for name in ("accepted", "asked"):
        op.drop_column("rollouts", name)

"""Selectors can be saved as cohorts; a rollout keeps what its cohorts said

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cohorts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("selector", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.add_column("rollouts", sa.Column("cohorts", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("rollouts", "cohorts")
    op.drop_table("cohorts")

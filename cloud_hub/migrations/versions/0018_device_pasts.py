"""What devices did before a rollout is kept for as long as it takes

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_pasts",
        sa.Column("rollout", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("tally", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"]),
        sa.PrimaryKeyConstraint("rollout", "device"),
    )


def downgrade() -> None:
    op.drop_table("device_pasts")

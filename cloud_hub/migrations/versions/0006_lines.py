"""A rollout's waves are lines that are drawn once, and a device remembers which rollouts it followed

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


# Not in batch mode: on SQLite it makes a table anew, and with the old one goes all that belongs to it.
def upgrade() -> None:
    op.drop_column("rollouts", "ordered")
    op.add_column("rollouts", sa.Column("lines", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("rollouts", sa.Column("approved", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("offers", sa.Column("before", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("offers", "before")
    for name in ("approved", "lines"):
        op.drop_column("rollouts", name)
    op.add_column("rollouts", sa.Column("ordered", sa.BigInteger(), nullable=False, server_default="0"))

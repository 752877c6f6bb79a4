"""A rollout knows who asked for it, with which manifest and in which request; a decision knows who made it

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("rollouts") as batch_op:
        batch_op.add_column(sa.Column("created_by", sa.String(), nullable=False, server_default="operator"))
        batch_op.add_column(sa.Column("manifest", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("manifest_generation", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("request_key", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("request_digest", sa.String(), nullable=True))
    op.create_index("ix_rollouts_manifest", "rollouts", ["manifest", "manifest_generation"], unique=True)
    op.create_index("ix_rollouts_request_key", "rollouts", ["request_key"], unique=True)
    with op.batch_alter_table("decisions") as batch_op:
        batch_op.add_column(sa.Column("made_by", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("decisions") as batch_op:
        batch_op.drop_column("made_by")
    op.drop_index("ix_rollouts_request_key", table_name="rollouts")
    op.drop_index("ix_rollouts_manifest", table_name="rollouts")
    with op.batch_alter_table("rollouts") as batch_op:
        for name in ("request_digest", "request_key", "manifest_generation", "manifest", "created_by"):
            batch_op.drop_column(name)

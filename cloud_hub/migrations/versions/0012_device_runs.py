"""What each device ran, from when to when, is kept

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    at = sa.DateTime(timezone=True)
    op.create_table(
        "device_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("rollout", sa.String(), nullable=True),
        sa.Column("since", at, nullable=False),
        sa.Column("until", at, nullable=True),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_device_runs_device_since", "device_runs", ["device", "since"])
    op.create_index("ix_device_runs_until", "device_runs", ["until"])
    # What runs now has been running since it was last heard of at the latest.
    op.execute(
        sa.text(
            "INSERT INTO device_runs (device, model, slot, version, digest, rollout, since) "
            "SELECT device, model, slot, running_version, COALESCE(running_digest, ''), "
            "CASE WHEN wanted_digest = running_digest THEN rollout END, heard_at "
            "FROM device_models WHERE running_version IS NOT NULL"
        )
    )


def downgrade() -> None:
    op.drop_table("device_runs")

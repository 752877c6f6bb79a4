"""When a rollout's first device ran its version is found without reading what all devices ever ran

Revision ID: 0021
Revises: 0020
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_device_runs_rollout_since", "device_runs", ["rollout", "since"])


def downgrade() -> None:
    op.drop_index("ix_device_runs_rollout_since", "device_runs")

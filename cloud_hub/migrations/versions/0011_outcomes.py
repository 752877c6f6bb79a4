"""What became of an offer is kept beside it

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rollouts", sa.Column("held", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("offers", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("offers", sa.Column("undoes", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("offers", sa.Column("outcome", sa.String(), nullable=False, server_default="unheard"))
    op.drop_index("ix_offers_rollout_wave", table_name="offers")
    op.create_index("ix_offers_progress", "offers", ["rollout", "wave", "outcome", "tries", "offered_at"])
    op.create_index("ix_device_models_model_wanted", "device_models", ["model", "wanted_version"])
    # The next report of each device says it again; until then those that are done with their offer count as done.
    op.execute(sa.text(_OF_OLD))


def downgrade() -> None:
    op.drop_index("ix_device_models_model_wanted", table_name="device_models")
    op.drop_index("ix_offers_progress", table_name="offers")
    op.create_index("ix_offers_rollout_wave", "offers", ["rollout", "wave"])
    for name in ("outcome", "undoes", "tries"):
        op.drop_column("offers", name)
    op.drop_column("rollouts", "held")


_OF_OLD = """
UPDATE offers SET outcome = (
    SELECT CASE
        WHEN m.phase = 'settled' AND m.running_version = offers.version AND m.running_digest = offers.digest
            THEN 'succeeded'
        WHEN m.phase = 'rejected' AND m.wanted_version = offers.version AND m.wanted_digest = offers.digest
            THEN 'rejected'
        ELSE 'underway'
    END
    FROM devices d LEFT JOIN device_models m
        ON m.device = d.id AND m.model = offers.model AND m.slot = offers.slot
    WHERE d.id = offers.device
)
WHERE EXISTS (SELECT 1 FROM devices d WHERE d.id = offers.device AND d.generation >= offers.generation)
"""

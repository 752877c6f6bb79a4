"""Offers of one outcome are found at once, in whatever wave they are

Revision ID: 0016
Revises: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_offers_progress", table_name="offers")
    op.create_index("ix_offers_progress", "offers", ["rollout", "outcome", "wave", "tries", "offered_at"])


def downgrade() -> None:
    op.drop_index("ix_offers_progress", table_name="offers")
    op.create_index("ix_offers_progress", "offers", ["rollout", "wave", "outcome", "tries", "offered_at"])

"""Windows tell memory, temperature and how many labelled records were right; features are kept beside the lake, too

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("memory_bytes", "labelled", "correct"):
        op.add_column("windows", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("windows", sa.Column("temperature_c", sa.Float(), nullable=True))
    op.add_column("windows", sa.Column("features", sa.Text(), nullable=False, server_default="{}"))


def downgrade() -> None:
    for name in ("memory_bytes", "labelled", "correct", "temperature_c", "features"):
        op.drop_column("windows", name)

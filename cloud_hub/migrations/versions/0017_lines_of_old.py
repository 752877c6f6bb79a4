"""What a rollout exposed before there were lines it goes on to expose, and no more

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

#: Buckets went from 0 to this, and so do places; those outside the lab have the upper half (`rollouts/waves.py`).
_BUCKETS = 2**53


def upgrade() -> None:
    rollouts = sa.table(
        "rollouts",
        sa.column("id"),
        sa.column("wave", sa.Integer()),
        sa.column("exposed", sa.BigInteger()),
        sa.column("policy", sa.JSON()),
        sa.column("lines", sa.JSON()),
    )
    connection = op.get_bind()
    exposing = sa.select(rollouts).where(rollouts.c.exposed > 0)
    for row in connection.execute(exposing).all():
        if row.lines:
            continue
        everyone = row.exposed >= _BUCKETS
        below = _BUCKETS if everyone else _BUCKETS // 2 + -(-row.exposed // 2)
        line = {"name": "100 %" if everyone else f"{100 * row.exposed / _BUCKETS:.3g} %", "below": {"*": below}}
        # All the same: how many devices the waves to come were to have is not known any more.
        lines = [{**line, "devices": {}}] * max(1, len(row.policy.get("waves", ())))
        exposed = min(max(1, row.wave + 1), len(lines))
        connection.execute(sa.update(rollouts).where(rollouts.c.id == row.id).values(lines=lines, exposed=exposed))


def downgrade() -> None:
    """Lines stay: whoever reads them knows them."""

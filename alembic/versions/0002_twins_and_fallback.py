"""Twins of batches and reservations of the budget; an index of requests that wait for a standard call.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("batches", sa.Column("twin_of", TEXT, nullable=True))
    op.add_column("batches", sa.Column("reserved", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_request_states_standard",
        "request_states",
        ["seq"],
        unique=False,
        sqlite_where=sa.text("status IN ('fallback', 'calling')"),
        postgresql_where=sa.text("status IN ('fallback', 'calling')"),
    )


def downgrade() -> None:
    op.drop_index("ix_request_states_standard", "request_states")
    op.drop_column("batches", "reserved")
    op.drop_column("batches", "twin_of")

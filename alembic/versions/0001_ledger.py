"""The ledger: log, payloads, projections, leases.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

from ledger.schema import APPLICATION_ID, append_only_triggers, drop_triggers

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "anchors",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("exported_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_anchors")),
    )
    op.create_table(
        "batches",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("api_version", TEXT, nullable=False),
        sa.Column("betas", TEXT, nullable=False),
        sa.Column("request_count", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("planned_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("due_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("submissions", sa.SmallInteger(), nullable=False),
        sa.Column("nonce", TEXT, nullable=True),
        sa.Column("nonces", TEXT, nullable=False),
        sa.Column("deadline", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("newest_before", TEXT, nullable=True),
        sa.Column("account", TEXT, nullable=True),
        sa.Column("provider_batch_id", TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("expires_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("ended_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("polls", sa.Integer(), nullable=False),
        sa.Column("counts", TEXT, nullable=True),
        sa.Column("settled", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("provider_batch_id", name=op.f("uq_batches_provider_batch_id")),
        sa.UniqueConstraint("seq", name=op.f("uq_batches_seq")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_batches_due",
        "batches",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "cache_prefixes",
        sa.Column("prefix", sa.LargeBinary(), nullable=False),
        sa.Column("reads", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_cache_prefixes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        sa.Column(
            "position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("stream_id", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.LargeBinary(), nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("schema_version", sa.SmallInteger(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("correlation_id", sa.LargeBinary(), nullable=True),
        sa.Column("causation_id", sa.LargeBinary(), nullable=True),
        sa.Column("data", TEXT, nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_events_event_id")),
        sa.UniqueConstraint("stream_id", "version", name=op.f("uq_events_stream_id_version")),
    )
    op.create_table(
        "leases",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("lease_until", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leases")),
    )
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "outcome_rollups",
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("grain", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("succeeded", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("failed", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("canceled", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cost_unknown", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint(
            "tag", "grain", "bucket", "value", "provider", "model", name=op.f("pk_outcome_rollups")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "payload_blocks",
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("block", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("payload", "block", name=op.f("pk_payload_blocks")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_payload_blocks_block"), "payload_blocks", ["block"], unique=False)
    op.create_table(
        "payloads",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("encoding", sa.SmallInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_payloads")),
    )
    op.create_table(
        "price_books",
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("book", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("provider", "position", name=op.f("pk_price_books")),
    )
    op.create_table(
        "price_keys",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("processing", TEXT, nullable=False),
        sa.Column("geo", TEXT, nullable=False),
        sa.Column("tier", TEXT, nullable=False),
        sa.Column("speed", TEXT, nullable=False),
        sa.Column("prompt_over", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_keys")),
    )
    op.create_table(
        "projections",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projections")),
    )
    op.create_table(
        "request_states",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("batch_id", TEXT, nullable=True),
        sa.Column("batch_index", sa.Integer(), nullable=True),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.Column("response_model", TEXT, nullable=True),
        sa.Column("error_type", TEXT, nullable=True),
        sa.Column("error_message", TEXT, nullable=True),
        sa.Column("finished_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("usage", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_request_states")),
    )
    op.create_index(
        "ix_request_states_batched",
        "request_states",
        ["batch_id", "batch_index"],
        unique=False,
        sqlite_where=sa.text("status = 'batched'"),
        postgresql_where=sa.text("status = 'batched'"),
    )
    op.create_index(
        "ix_request_states_queued",
        "request_states",
        ["seq"],
        unique=False,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_request_states_undecided",
        "request_states",
        ["seq"],
        unique=False,
        sqlite_where=sa.text("status IN ('failed', 'expired')"),
        postgresql_where=sa.text("status IN ('failed', 'expired')"),
    )
    op.create_table(
        "requests",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("custom_id", TEXT, nullable=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("api_version", TEXT, nullable=False),
        sa.Column("betas", TEXT, nullable=False),
        sa.Column("tags", TEXT, nullable=False),
        sa.Column("params_hash", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("max_tokens", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("estimated_input_tokens", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("markers", sa.SmallInteger(), nullable=False),
        sa.Column("prefix", sa.LargeBinary(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_requests")),
        sa.UniqueConstraint("custom_id", "key", name=op.f("uq_requests_custom_id_key")),
        sa.UniqueConstraint("id", name=op.f("uq_requests_id")),
    )
    op.create_table(
        "tag_values",
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("tag", "value", name=op.f("pk_tag_values")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "unread_writes",
        sa.Column("prefix", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("price_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("billed_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("write_5m", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("write_1h", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("prefix", "request", name=op.f("pk_unread_writes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_rollups",
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("grain", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("price_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("requests", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("partial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("marked", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hits", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uncached", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("write_5m", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("write_1h", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("read", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("output", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("web_searches", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("unread_5m", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("unread_1h", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint(
            "tag", "grain", "bucket", "value", "price_key", "epoch", "role", name=op.f("pk_usage_rollups")
        ),
        sqlite_with_rowid=False,
    )

    op.execute(
        sa.text("INSERT INTO ledger_head (id, position, hash) VALUES (1, 0, :genesis)").bindparams(genesis=bytes(32))
    )
    dialect = op.get_bind().dialect.name
    for statement in append_only_triggers(dialect):
        op.execute(statement)
    if dialect == "sqlite":
        op.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def downgrade() -> None:
    op.drop_table("usage_rollups")
    op.drop_table("unread_writes")
    op.drop_table("tag_values")
    op.drop_table("requests")
    op.drop_index(
        "ix_request_states_undecided",
        table_name="request_states",
        sqlite_where=sa.text("status IN ('failed', 'expired')"),
        postgresql_where=sa.text("status IN ('failed', 'expired')"),
    )
    op.drop_index(
        "ix_request_states_queued",
        table_name="request_states",
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.drop_index(
        "ix_request_states_batched",
        table_name="request_states",
        sqlite_where=sa.text("status = 'batched'"),
        postgresql_where=sa.text("status = 'batched'"),
    )
    op.drop_table("request_states")
    op.drop_table("projections")
    op.drop_table("price_keys")
    op.drop_table("price_books")
    op.drop_table("payloads")
    op.drop_index(op.f("ix_payload_blocks_block"), table_name="payload_blocks")
    op.drop_table("payload_blocks")
    op.drop_table("outcome_rollups")
    op.drop_table("ledger_head")
    op.drop_table("leases")
    op.drop_table("events")
    op.drop_table("cache_prefixes")
    op.drop_index(
        "ix_batches_due",
        table_name="batches",
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("batches")
    op.drop_table("anchors")

    dialect = op.get_bind().dialect.name
    for statement in drop_triggers(dialect):
        op.execute(statement)
    if dialect == "sqlite":
        op.execute("PRAGMA application_id = 0")

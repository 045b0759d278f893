"""Every table of the ledger, and the triggers that keep the log append-only.

Three kinds of table: the log (facts, never changed), projections (derived from the log, can be rebuilt from
it), and operations (leases: who works on what at the moment). Times are microseconds since 1970 UTC.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "APPLICATION_ID",
    "CHANGES",
    "PROJECTION_TABLES",
    "REVISIONS",
    "append_only_triggers",
    "drop_triggers",
    "metadata",
]

REVISIONS: Final = ("0001", "0002")
"""Alembic revisions that this release knows, oldest first; the last one is the schema below."""

APPLICATION_ID: Final = 0x4C4C4D31
"""SQLite's `application_id` of a ledger file ("LLM1")."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


CHANGES: Final = {"changes": True}
"""Marks the first column of a projection that changes after its row is made; all columns after it may, too."""


# Bytewise order on every database, so that a prefix search is a range and a table sorts the same everywhere.
_TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=nullable)


def _key(name: str) -> Column[str]:
    return Column(name, _TEXT, primary_key=True)


def _serial(name: str) -> Column[int]:
    # INTEGER PRIMARY KEY is SQLite's rowid: the table is stored in this order and needs no further index.
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False)


def _partial_index(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


def _int(name: str, *, nullable: bool = False, primary_key: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable, primary_key=primary_key, autoincrement=False)


def _bytes(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=nullable)


# --- the log -------------------------------------------------------------------------------------------------

events = Table(
    "events",
    metadata,
    _serial("position"),
    _text("stream_id"),
    Column("version", Integer, nullable=False),
    _bytes("event_id"),
    _text("type"),
    Column("schema_version", SmallInteger, nullable=False),
    _int("occurred_at"),
    _int("recorded_at"),
    _bytes("correlation_id", nullable=True),
    _bytes("causation_id", nullable=True),
    _text("data"),
    _bytes("body_hash"),
    _bytes("hash"),
    UniqueConstraint("stream_id", "version"),
    UniqueConstraint("event_id"),
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    _int("position"),
    _bytes("hash"),
)

anchors = Table(
    "anchors",
    metadata,
    _int("position", primary_key=True),
    _bytes("hash"),
    _int("exported_at"),
)

# With a rowid, unlike other tables of that kind: in an index SQLite moves a row of a kilobyte to a page of its own.
payloads = Table(
    "payloads",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    _int("size"),
    Column("encoding", SmallInteger, nullable=False),
    _bytes("content"),
)

payload_blocks = Table(
    "payload_blocks",
    metadata,
    Column("payload", LargeBinary, primary_key=True),
    Column("block", LargeBinary, primary_key=True),
    Index(None, "block"),
    sqlite_with_rowid=False,
)

# --- projections ---------------------------------------------------------------------------------------------

projections = Table(
    "projections",
    metadata,
    _key("name"),
    Column("version", Integer, nullable=False),
    _int("position"),
    _text("status"),
)

requests = Table(
    "requests",
    metadata,
    # The position of `request.recorded`: small, ascending, and the order in which people see requests.
    _serial("seq"),
    _text("id"),
    _text("key"),
    _text("custom_id"),
    _text("provider"),
    _text("model"),
    _text("mode"),
    _text("api_version"),
    _text("betas"),
    _text("tags"),
    _bytes("params_hash"),
    _bytes("payload"),
    _int("size"),
    _int("max_tokens"),
    _int("estimated_input_tokens"),
    Column("markers", SmallInteger, nullable=False),
    _bytes("prefix", nullable=True),
    _int("recorded_at"),
    UniqueConstraint("id"),
    UniqueConstraint("custom_id", "key"),
)

# What changes about a request, apart from what never does: narrow rows, few indexes, so that changing is cheap.
request_states = Table(
    "request_states",
    metadata,
    _serial("seq"),
    Column("version", Integer, nullable=False, info=CHANGES),
    _text("status"),
    Column("attempts", SmallInteger, nullable=False),
    _int("due_at", nullable=True),
    _text("batch_id", nullable=True),
    Column("batch_index", Integer),
    _bytes("result", nullable=True),
    _text("response_model", nullable=True),
    _text("error_type", nullable=True),
    _text("error_message", nullable=True),
    _int("finished_at", nullable=True),
    _text("usage"),
    # The work still to do, and nothing else: these stay small however long the ledger grows.
    _partial_index("ix_request_states_queued", "seq", where="status = 'queued'"),
    _partial_index("ix_request_states_undecided", "seq", where="status IN ('failed', 'expired')"),
    _partial_index("ix_request_states_batched", "batch_id", "batch_index", where="status = 'batched'"),
    _partial_index("ix_request_states_standard", "seq", where="status IN ('fallback', 'calling')"),
)

batches = Table(
    "batches",
    metadata,
    _key("id"),
    _int("seq"),
    Column("version", Integer, nullable=False, info=CHANGES),
    _text("status"),
    _text("provider"),
    _text("api_version"),
    _text("betas"),
    _int("request_count"),
    _int("size"),
    _int("planned_at"),
    _int("due_at", nullable=True),
    Column("submissions", SmallInteger, nullable=False),
    _text("nonce", nullable=True),
    _text("nonces"),
    _int("deadline", nullable=True),
    _text("newest_before", nullable=True),
    _text("account", nullable=True),
    _text("provider_batch_id", nullable=True),
    _int("created_at", nullable=True),
    _int("expires_at", nullable=True),
    _int("ended_at", nullable=True),
    Column("polls", Integer, nullable=False),
    _text("counts", nullable=True),
    _int("settled"),
    _text("note", nullable=True),
    _text("twin_of", nullable=True),
    _int("reserved", nullable=True),
    UniqueConstraint("seq"),
    UniqueConstraint("provider_batch_id"),
    _partial_index("ix_batches_due", "due_at", where="due_at IS NOT NULL"),
    sqlite_with_rowid=False,
)

price_books = Table(
    "price_books",
    metadata,
    _key("provider"),
    _int("position", primary_key=True),
    _text("digest"),
    _text("book"),
)

price_keys = Table(
    "price_keys",
    metadata,
    _int("id", primary_key=True),
    _text("provider"),
    _text("model"),
    _text("processing"),
    _text("geo"),
    _text("tier"),
    _text("speed"),
    _int("prompt_over"),
)

usage_rollups = Table(
    "usage_rollups",
    metadata,
    _key("tag"),
    Column("grain", Integer, primary_key=True, autoincrement=False),
    _int("bucket", primary_key=True),
    _key("value"),
    _int("price_key", primary_key=True),
    _int("epoch", primary_key=True),
    _key("role"),
    _int("requests"),
    _int("partial"),
    _int("marked"),
    _int("hits"),
    _int("uncached"),
    _int("write_5m"),
    _int("write_1h"),
    _int("read"),
    _int("output"),
    _int("web_searches"),
    _int("unread_5m"),
    _int("unread_1h"),
    sqlite_with_rowid=False,
)

outcome_rollups = Table(
    "outcome_rollups",
    metadata,
    _key("tag"),
    Column("grain", Integer, primary_key=True, autoincrement=False),
    _int("bucket", primary_key=True),
    _key("value"),
    _key("provider"),
    _key("model"),
    _int("succeeded"),
    _int("failed"),
    _int("canceled"),
    _int("cost_unknown"),
    sqlite_with_rowid=False,
)

tag_values = Table(
    "tag_values",
    metadata,
    _key("tag"),
    _key("value"),
    sqlite_with_rowid=False,
)

cache_prefixes = Table(
    "cache_prefixes",
    metadata,
    Column("prefix", LargeBinary, primary_key=True),
    Column("reads", Integer, nullable=False),
    sqlite_with_rowid=False,
)

unread_writes = Table(
    "unread_writes",
    metadata,
    Column("prefix", LargeBinary, primary_key=True),
    _int("request", primary_key=True),
    _int("price_key"),
    _int("billed_at"),
    _int("write_5m"),
    _int("write_1h"),
    sqlite_with_rowid=False,
)

PROJECTION_TABLES: Final = (
    requests,
    request_states,
    batches,
    price_books,
    price_keys,
    usage_rollups,
    outcome_rollups,
    tag_values,
    cache_prefixes,
    unread_writes,
)
"""Everything that is derived from the log and nothing else. `rebuild` makes exactly these anew."""

# --- operations ----------------------------------------------------------------------------------------------

leases = Table(
    "leases",
    metadata,
    _key("id"),
    _text("owner"),
    _int("lease_until"),
    _int("fence"),
)


_SQLITE_TRIGGERS = (
    """
    CREATE TRIGGER events_no_update BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END
    """,
    """
    CREATE TRIGGER events_no_delete BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END
    """,
    # INSERT OR REPLACE deletes the row in its way without firing delete triggers (unless the connection turned
    # recursive_triggers on), so an insert that meets an existing row is stopped before it can replace one.
    """
    CREATE TRIGGER events_no_replace BEFORE INSERT ON events
    WHEN EXISTS (SELECT 1 FROM events WHERE position = NEW.position)
      OR EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)
      OR EXISTS (SELECT 1 FROM events WHERE stream_id = NEW.stream_id AND version = NEW.version)
    BEGIN SELECT RAISE(ABORT, 'events are append-only: UNIQUE constraint would replace a row'); END
    """,
)


_POSTGRES_TRIGGERS = (
    """
    CREATE FUNCTION events_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$
    """,
    """
    CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_append_only()
    """,
)

_TRIGGERS: Final = {"sqlite": _SQLITE_TRIGGERS, "postgresql": _POSTGRES_TRIGGERS}


def append_only_triggers(dialect: str) -> tuple[str, ...]:
    """The statements that make `events` append-only on the named SQLAlchemy dialect."""
    return _TRIGGERS[dialect]


def drop_triggers(dialect: str) -> tuple[str, ...]:
    """The statements that a downgrade needs beyond dropping the table."""
    return ("DROP FUNCTION events_append_only()",) if dialect == "postgresql" else ()

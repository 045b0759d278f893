"""Golden files: how they are written, read, and brought into a database as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Table, select, update

from ledger import Ledger, schema
from ledger.backends import Database
from ledger.savings import Period
from ledger.summary import savings

__all__ = [
    "FOLDER",
    "Line",
    "columns",
    "event_lines",
    "insert",
    "lines_of",
    "logs",
    "newest",
    "projection_lines",
    "savings_text",
]

FOLDER: Final = Path(__file__).parent

_GROUPS: Final = (None, "day", "model", "provider", "tag:team", "tag:env")


class Line(msgspec.Struct, frozen=True):
    """One event as it is stored, bytes as hex digits; the body, byte for byte, is part of the line."""

    position: int
    stream_id: str
    version: int
    event_id: str
    type: str
    schema_version: int
    occurred_at: int
    recorded_at: int
    correlation_id: str | None
    causation_id: str | None
    data: msgspec.Raw
    body_hash: str
    hash: str


def logs() -> list[Path]:
    """The folder of every frozen log."""
    return sorted(file.parent for file in FOLDER.glob("*/events.jsonl"))


def lines_of(log: Path) -> list[Line]:
    """The events of a log."""
    return [msgspec.json.decode(line, type=Line) for line in (log / "events.jsonl").read_bytes().splitlines()]


def newest(log: Path, kind: str) -> Path | None:
    """The last of the numbered files that say what comes of a log: of `projections` or of `savings`."""
    return max(log.glob(f"{kind}.*"), key=lambda file: int(file.name.split(".")[1]), default=None)


def event_lines(ledger: Ledger) -> bytes:
    """The whole log of a ledger."""
    with ledger.read() as connection:
        rows = connection.execute(select(schema.events).order_by(schema.events.c.position)).all()
    return _joined([{**_plain(row), "data": msgspec.Raw(row.data.encode())} for row in rows])


def projection_lines(ledger: Ledger) -> bytes:
    """Every row that is derived from the log, checkpoints first."""
    return _joined(
        [line for table in (schema.projections, *schema.PROJECTION_TABLES) for line in _rows(ledger, table)]
    )


def savings_text(ledger: Ledger) -> bytes:
    """What `savings --json` says, as a whole and by every grouping."""
    reports = {by or "total": savings(ledger, Period(), by) for by in _GROUPS}
    return msgspec.json.format(msgspec.json.encode(reports), indent=2) + b"\n"


def insert(database: Database, lines: list[Line]) -> None:
    """The stored columns as they are, nothing encoded, hashed or folded."""
    with database.write() as connection:
        database.insert(connection, schema.events, [columns(line) for line in lines])
        last = lines[-1]
        connection.execute(update(schema.ledger_head).values(position=last.position, hash=bytes.fromhex(last.hash)))


def columns(line: Line) -> tuple[Any, ...]:
    """An event as it stands in the table."""
    binary = {"event_id", "correlation_id", "causation_id", "body_hash", "hash"}
    values = {**msgspec.structs.asdict(line), "data": bytes(line.data).decode()}
    return tuple(
        bytes.fromhex(value) if name in binary and value is not None else value for name, value in values.items()
    )


def _rows(ledger: Ledger, table: Table) -> list[dict[str, Any]]:
    with ledger.read() as connection:
        rows = connection.execute(select(table).order_by(*table.primary_key.columns)).all()
    return [{"table": str(table.name), **_plain(row)} for row in rows]


def _plain(row: Any) -> dict[str, Any]:
    return {str(name): value.hex() if isinstance(value, bytes) else value for name, value in row._mapping.items()}


def _joined(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)

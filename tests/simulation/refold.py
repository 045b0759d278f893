"""`verify` for thousands of ledgers: the same proof, from what every one of them begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from ledger import Ledger, schema
from ledger.codec import body_hash, chain_hash
from ledger.projections import fold
from ledger.store import as_fact
from tests.simulation.quick_database import QuickDatabase

__all__ = ["Refold"]


class Refold:
    """Says what is wrong with a ledger that began as `template`: its chain, its versions, its projections."""

    def __init__(self, template: Any) -> None:
        self._scratch = QuickDatabase(template)

    def __call__(self, ledger: Ledger) -> Sequence[str]:
        """One line for each contradiction."""
        try:
            return self._compare(ledger, self._scratch)
        finally:
            self._scratch.close()

    def _compare(self, ledger: Ledger, scratch: QuickDatabase) -> list[str]:
        with scratch.write() as copy, ledger.read() as log:
            position, previous = copy.execute(select(schema.ledger_head.c.position, schema.ledger_head.c.hash)).one()
            column = schema.events.c
            rows = log.execute(
                select(schema.events).where(column.position > position).order_by(column.position)
            ).all()
            problems: list[str] = []
            versions: dict[str, int] = {}
            for row in rows:
                position += 1
                values = tuple(row)
                previous = chain_hash(previous, values[:10], row.body_hash)
                sound = (row.position, row.hash) == (position, previous)
                if not sound or body_hash(row.type, row.schema_version, row.data.encode()) != row.body_hash:
                    problems.append(f"event {row.position} does not follow")
                if row.version != versions.setdefault(row.stream_id, 0) + 1:
                    problems.append(f"{row.stream_id}: version {row.version} after {versions[row.stream_id]}")
                versions[row.stream_id] = row.version
            if tuple(log.execute(select(schema.ledger_head)).one())[1:] != (position, previous):
                problems.append("the head is elsewhere")
            fold(scratch, copy, [as_fact(row) for row in rows])
            for table in (*schema.PROJECTION_TABLES, schema.projections):
                keys = ", ".join(key.name for key in table.primary_key.columns)
                query = f"SELECT * FROM {table.name} ORDER BY {keys}"
                stored, folded = (_rows(connection, query) for connection in (log, copy))
                if stored != folded:
                    wrong = next(
                        pair for pair in zip([*stored, None], [*folded, None], strict=False) if len(set(pair)) > 1
                    )
                    problems.append(f"{table.name}: {wrong[0]} is stored, {wrong[1]} is folded")
            return problems


def _rows(connection: Any, query: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = connection.exec_driver_sql(query).cursor.fetchall()
    return rows

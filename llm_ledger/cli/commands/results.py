"""`llm-ledger results`: one JSON line per request, in the provider's own shape."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import typer

from llm_ledger.cli.options import Key, Limit
from llm_ledger.cli.progress import bar

__all__ = ["ResultStatus", "results"]


class ResultStatus(StrEnum):
    """How a request stands, as far as its result is concerned."""

    SUCCEEDED = "succeeded"
    ERRORED = "errored"
    EXPIRED = "expired"
    CANCELED = "canceled"
    ABANDONED = "abandoned"
    PENDING = "pending"


def results(
    key: Key = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here, in one piece, not to stdout.")
    ] = None,
    status: Annotated[
        list[ResultStatus] | None, typer.Option("--status", help="Only requests in this status; repeatable.")
    ] = None,
    limit: Limit = None,
    _json: Annotated[bool, typer.Option("--json", hidden=True)] = False,  # results are JSON anyway
) -> None:
    """Write a JSON line per request: custom_id, key, status, result (the provider's own) and cost."""
    from ledger import Ledger, queries
    from llm_ledger.cli.result_lines import ledger_statuses, result_lines, results_mode

    statuses = ledger_statuses([str(one) for one in status]) if status else None
    with Ledger.open() as ledger, _target(output) as file:
        total = None
        if output is not None:
            chosen = queries.count_requests(ledger, key=key, statuses=statuses, mode=results_mode(key))
            total = chosen if limit is None else min(chosen, limit)
        with bar("writing", total) as progress:
            for page in result_lines(ledger, key=key, statuses=statuses, limit=limit):
                file.writelines(page)
                progress.advance(len(page))


@contextmanager
def _target(output: Path | None) -> Iterator[IO[bytes]]:
    """Where the lines go: stdout, or a file that appears under its name only when it is complete."""
    from ledger.errors import InputError

    if output is None or str(output) == "-":
        yield sys.stdout.buffer
        return
    path = Path(os.path.realpath(output))
    try:
        whole = not path.exists() or path.is_file()
        part = path.with_name(f".{path.name}.{os.getpid()}.part") if whole else path
        file = part.open("wb")
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}") from None
    try:
        with file:
            yield file
            file.flush()
            if whole:
                os.fsync(file.fileno())
        if whole:
            part.replace(path)
    finally:
        if whole:
            part.unlink(missing_ok=True)

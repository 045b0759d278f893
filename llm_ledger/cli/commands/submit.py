"""`llm-ledger submit`: a file of requests goes on record, whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from llm_ledger.cli.options import Json, Tags
from llm_ledger.cli.output import write_json, write_text
from llm_ledger.cli.progress import Bar, bar
from llm_ledger.cli.words import counted

if TYPE_CHECKING:
    from scheduler import Submission

__all__ = ["submit"]

LONGEST_LINE: Final = 300_000_000
"""Bytes. More than any provider takes in a whole batch; without a bound one line could fill the memory."""


def submit(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines {custom_id, params, tags?}; - is stdin.")],
    tag: Tags = None,
    key: Annotated[
        str, typer.Option("--key", metavar="NAME", help="Namespace: (key, custom_id) is a request's identity.")
    ] = "default",
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="Send every request to this model.")
    ] = None,
    json: Json = False,
) -> None:
    """Check and record the requests of a file. What is recorded already is skipped; one bad line refuses all."""
    from ledger import Ledger
    from ledger.errors import InputError
    from scheduler import Intake, providers

    tags = dict(one.split("=", 1) for one in tag or ())
    if len(tags) < len(tag or ()):
        raise InputError("a tag can have one value only; --tag names one twice")
    with _opened(file) as stream, Ledger.open() as ledger, bar("checking", _size(stream), "share") as progress:
        intake = Intake(ledger, providers.rules("anthropic"), key=key, model=model, tags=tags)
        reading = _Reading(stream, progress)
        submission = intake.submit(reading.lines(), progress=reading.passed)
    if json:
        figures = {"total": submission.total, "recorded": submission.recorded, "skipped": submission.skipped}
        write_json({"key": key, **figures})
    else:
        write_text(_sentence(submission))


class _Reading:
    """The lines of a stream, with the bar in step: bytes while they are checked, requests while they are recorded."""

    def __init__(self, stream: IO[bytes], progress: Bar) -> None:
        self._stream = stream
        self._progress = progress
        self._lines = self._requests = self._passed = 0

    def lines(self) -> Iterator[bytes]:
        """Every line. `InvalidLine` for one that no bound of memory could hold."""
        from ledger.errors import InvalidLine

        while line := self._stream.readline(LONGEST_LINE + 1):
            self._lines += 1
            if len(line) > LONGEST_LINE:
                raise InvalidLine(self._lines, f"is longer than {LONGEST_LINE:,} bytes")
            self._requests += bool(line.strip())
            self._progress.advance(len(line))
            yield line
        self._progress.turn("recording", self._requests)

    def passed(self, lines: int) -> None:
        """So many more requests are checked; once all of them are, recorded."""
        self._passed += lines
        if self._passed > self._requests:
            self._progress.stand(self._passed - self._requests, self._requests)


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    from ledger.errors import InputError

    if file == "-":
        if sys.stdin is None:
            raise InputError("-: standard input is closed")
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 - what happens inside the block is none of this except's business
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    with stream:
        yield stream


def _size(stream: IO[bytes]) -> int | None:
    """Bytes to read, where that can be known."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _sentence(submission: Submission) -> str:
    if not submission.total:
        return "nothing to record: there is no request in it"
    if not submission.recorded:
        return f"nothing new: all {counted(submission.total, 'request')} are recorded already"
    skipped = f", {submission.skipped:,} were on record already" if submission.skipped else ""
    return f"recorded {counted(submission.recorded, 'request')}{skipped}"

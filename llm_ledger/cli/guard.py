"""Errors become exit codes and one line on stderr.

0    done
1    requests were abandoned in this run; `batches --check`: something needs attention
2    usage or bad input
3    configuration or database unusable
4    provider refused or unreachable, or the budget is reached; nothing lost
70   a bug: the traceback says where
130  interrupted (Ctrl-C)
143  `run --until-idle` was terminated with work left
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import Any, Final

import typer

from llm_ledger.cli.words import one_line

__all__ = ["ExitCode", "exit_code", "guarded", "say"]

_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}


class ExitCode(IntEnum):
    """What the shell gets to see."""

    DONE = 0
    ABANDONED = 1
    INPUT = 2
    UNUSABLE = 3
    PROVIDER = 4
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


def guarded(command: Callable[..., Any]) -> Callable[..., None]:
    """The command with its errors turned into exit codes. An `ExitCode` it returns becomes the program's."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs) or ExitCode.DONE
            sys.stdout.flush()
        except typer.Exit:
            raise
        except BrokenPipeError:  # `| head` has seen enough
            _forget_stdout()
            code = ExitCode.DONE
        except KeyboardInterrupt:
            say("interrupted")
            code = ExitCode.INTERRUPTED
        except Exception as error:
            code = _explained(error)
        raise typer.Exit(int(code))

    return run


def say(line: str) -> None:
    """One line on stderr."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"llm-ledger: {one_line(line)}\n")


def exit_code(error: Exception) -> ExitCode:
    """The exit code of an error that was raised on purpose; `BUG` for any other."""
    from ledger.errors import InputError, LedgerError, ProviderError, SubmissionHeld

    if isinstance(error, InputError):
        return ExitCode.INPUT
    if isinstance(error, ProviderError | SubmissionHeld):
        return ExitCode.PROVIDER
    return ExitCode.UNUSABLE if isinstance(error, LedgerError) else ExitCode.BUG


def _explained(error: Exception) -> ExitCode:
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}cannot write: {error.strerror}")
        _forget_stdout()
        return ExitCode.UNUSABLE
    code = exit_code(error)
    if code is ExitCode.BUG:
        traceback.print_exception(error)  # never with locals: they may hold a key
    else:
        say(str(error))
    return code


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere instead of complaining."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

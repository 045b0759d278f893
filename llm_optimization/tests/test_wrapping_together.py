"""A loop of its own for code that has none, and the seats of a batch."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from llm_optimization.wrapping.together import Seat, in_own_loop, seat_of

where: ContextVar[str] = ContextVar("where", default="nowhere")


def test_work_sees_the_callers_context_on_another_thread() -> None:
    async def look() -> tuple[str, bool]:
        return where.get(), threading.current_thread() is threading.main_thread()

    where.set("here")
    assert in_own_loop(look()) == ("here", False)


async def test_it_works_where_a_loop_runs_already() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert in_own_loop(answer()) == 42


def test_errors_come_out() -> None:
    async def fail() -> None:
        raise LookupError("inside")

    with pytest.raises(LookupError, match="inside"):
        in_own_loop(fail())


@pytest.fixture
def _can_be_interrupted() -> Iterator[None]:
    """Python ignores SIGINT if whoever started it does, as a shell does for what it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_can_be_interrupted")
def test_interrupting_the_caller_cancels_the_work() -> None:
    ended: list[str] = []

    async def wait() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("canceled")
            raise

    with pytest.raises(KeyboardInterrupt):
        in_own_loop(wait())
    assert ended == ["canceled"]


class Session:
    """Counts who comes, and who does not."""

    def __init__(self) -> None:
        self.put_in: list[Mapping[str, Any]] = []
        self.withdrawn = 0

    async def put(self, params: Mapping[str, Any], *, tags: Mapping[str, str] | None = None) -> str:
        self.put_in.append(params)
        return "outcome"

    def withdraw(self) -> None:
        self.withdrawn += 1


async def test_a_seat_is_taken_once_or_left_once() -> None:
    session: Any = Session()
    seat = Seat("ours", session, None, in_thread=False)
    assert await seat.put({"a": 1}, None) == "outcome"
    seat.leave()
    assert (session.put_in, session.withdrawn) == ([{"a": 1}], 0)
    empty = Seat("ours", session, None, in_thread=False)
    empty.leave()
    empty.leave()
    assert session.withdrawn == 1


def test_without_a_batch_there_is_no_seat() -> None:
    assert seat_of(SimpleNamespace(optimization=None)) is None

"""Valid histories, drawn by hypothesis: whatever a scheduler could have appended, in any order it could have.

A history is drawn as a list of (step, number, number); the numbers choose among what the step can be done to, and a
step that can be done to nothing is left out. So every list is a valid history, and shrinking gives a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st

from ledger import NewEvent
from ledger.pricing import PriceBook
from tests.support.clock import FakeClock
from tests.support.history import History, Request, prefix, usage
from tests.support.prices import price_book

__all__ = ["BOOKS", "EVENING", "Step", "play", "steps"]

EVENING = datetime(2026, 10, 24, 20, 30, tzinfo=UTC)
"""Before the night in which Berlin puts its clocks back."""

Step = tuple[str, int, int]

MODELS: Final = ("model-a", "model-b", "model-later", "model-never")

BOOKS: Final[tuple[PriceBook, ...]] = (
    price_book({"model-a": "2", "model-b": "10"}),
    price_book({"model-a": [("2024-01-01T00:00:00Z", "2"), ("2026-10-25T01:15:00Z", "3")], "model-later": "1"}),
    price_book({"model-a": [("2026-10-24T22:00:00Z", "4")], "model-b": "10", "model-later": "1"}),
)
"""Prices that change in the middle of a history, models that come and go, prices that begin too late."""

PREFIXES: Final = ((), prefix("system", "a"), prefix("system", "b"), prefix("system", "a", "more"))

TAGS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"team": "docs"},
    {"team": "support", "env": "live"},
    {"env": "test"},
)

USAGES: Final = (
    usage(100, 20),
    usage(10, 20, write_5m=2000),
    usage(10, 20, write_1h=2000),
    usage(10, 20, read=2000),
    usage(10, 20, read=1000, write_5m=1000),
    usage(120_000, 5, server_tool_use={"web_search_requests": 2}),
    usage(5, 5, iterations=[{"type": "advisor_message", "model": "model-later", "input_tokens": 70}]),
    usage(
        5,
        5,
        iterations=[
            {"type": "compaction", "input_tokens": 9},
            {"type": "advisor_message", "model": "model-never", "output_tokens": 7},
            {"type": "advisor_message", "model": "model-never", "output_tokens": 8},
        ],
    ),
    usage(5, 5, service_tier="priority"),
    usage(-5, 5),
    b'{"input_tokens": 1e999}',
)
"""Among them some that cannot be priced, and two that cannot be read."""

_STEPS: Final = (
    *("request", "batch", "succeed") * 4,
    *("call", "adopt", "wait", "fail", "expire", "retry") * 2,
    *(
        "cancel",
        "abandon",
        "unknown",
        "poll",
        "doubt",
        "refuse",
        "release",
        "end",
        "twin",
        "ask",
        "configure",
        "reopen",
        "fallback",
    ),
)


def steps(max_size: int = 40) -> st.SearchStrategy[list[Step]]:
    """Lists for `play`."""
    return st.lists(st.tuples(st.sampled_from(_STEPS), st.integers(0, 10), st.integers(0, 10)), max_size=max_size)


def play(script: Sequence[Step], clock: FakeClock | None = None) -> list[NewEvent]:
    """The events of a script. Three requests under a shared prefix are under way when it begins."""
    player = _Player(History(clock or FakeClock(EVENING)))
    history = player.history
    history.submitted([history.request(model=MODELS[0], prefix=PREFIXES[1], tags=TAGS[at]) for at in range(3)])
    for step, first, second in script:
        _ACTIONS[step](player, first, second)
    return history.take()


class _Player:
    def __init__(self, history: History) -> None:
        self.history = history

    def request(self, first: int, second: int) -> None:
        self._record(first, second, "batch")

    def call(self, first: int, second: int) -> None:
        request = self._record(first, second, "standard")
        self.history.succeed(request, _pick(USAGES, first + second))

    def batch(self, first: int, _second: int) -> None:
        if queued := self._in("queued"):
            batch = self.history.plan(queued[: first + 1])
            self.history.start(batch)
            self.history.accept(batch)

    def succeed(self, first: int, second: int) -> None:
        """Of a request that is done already this is a duplicate."""
        candidates = [r for r in self._in("batched", "done", "undecided", "queued") if _is_under_way(r)]
        if request := _pick(candidates, first):
            self.history.succeed(request, _pick(USAGES, second))

    def fail(self, first: int, second: int) -> None:
        if request := _pick(self._under_way(), first):
            self.history.fail(request, retryable=second < 8)

    def expire(self, first: int, _second: int) -> None:
        if request := _pick(self._under_way(), first):
            self.history.expire(request)

    def cancel(self, first: int, _second: int) -> None:
        if request := _pick(self._under_way(), first):
            self.history.cancel(request)

    def retry(self, first: int, _second: int) -> None:
        if request := _pick(self._in("undecided"), first):
            self.history.retry(request)

    def reopen(self, first: int, _second: int) -> None:
        """Of a request that has an answer by now, it changes nothing."""
        if request := _pick(self._in("done"), first):
            self.history.reopen(request)

    def fallback(self, first: int, second: int) -> None:
        if request := _pick(self._in("undecided"), first):
            self.history.call(request)
            if second % 3 == 0:
                self.history.cost_unknown(request)
                self.history.abandon(request)
            elif second % 3 == 1:
                self.history.succeed(request, _pick(USAGES, second))
            else:
                self.history.fail(request, retryable=second > 5)

    def abandon(self, first: int, _second: int) -> None:
        if request := _pick(self._in("undecided"), first):
            self.history.abandon(request)

    def unknown(self, first: int, _second: int) -> None:
        if request := _pick(self._in("done"), first):
            self.history.cost_unknown(request)

    def adopt(self, first: int, _second: int) -> None:
        self.history.adopt(BOOKS[first % len(BOOKS)])

    def wait(self, first: int, second: int) -> None:
        self.history.clock.advance(minutes=7 * first, hours=second)

    def poll(self, first: int, second: int) -> None:
        if batch := _pick(self.history.batches, first):
            self.history.poll(batch, problem="gone" if second > 7 else None, state="canceling" if second < 2 else "x")

    def doubt(self, first: int, second: int) -> None:
        """A batch of its own: sent, nobody knows whether it arrived, then found or given up."""
        if queued := self._in("queued"):
            batch = self.history.plan(queued[:1])
            self.history.start(batch)
            self.history.doubt(batch)
            if second % 2:
                self.history.accept(batch)

    def refuse(self, first: int, _second: int) -> None:
        if queued := self._in("queued"):
            batch = self.history.plan(queued[: first + 1])
            self.history.start(batch)
            self.history.refuse(batch)
            self.history.start(batch)
            self.history.accept(batch)

    def release(self, first: int, _second: int) -> None:
        if batch := _pick([batch for batch in self.history.batches if batch.state == "uncertain"], first):
            self.history.release(batch)
            self.history.start(batch)
            self.history.accept(batch)

    def end(self, first: int, second: int) -> None:
        if batch := _pick([batch for batch in self.history.batches if batch.state == "open"], first):
            self.history.end(batch)
            if second % 2:
                self.history.collected(batch)

    def twin(self, first: int, second: int) -> None:
        if batch := _pick(self.history.batches, first):
            self.history.twin(batch)
            if second > 7:
                self.history.fail_batch(batch)

    def ask(self, first: int, _second: int) -> None:
        if batch := _pick(self.history.batches, first):
            self.history.ask_to_cancel(batch)

    def configure(self, first: int, _second: int) -> None:
        self.history.configure(str(first))

    def _record(self, first: int, second: int, mode: Any) -> Request:
        return self.history.request(
            model=MODELS[first % len(MODELS)],
            prefix=PREFIXES[second % len(PREFIXES)],
            tags=TAGS[(first + second) % len(TAGS)],
            mode=mode,
        )

    def _in(self, *states: str) -> list[Request]:
        return [request for request in self.history.requests if request.state in states]

    def _under_way(self) -> list[Request]:
        return [request for request in self._in("batched") if _is_under_way(request)]


def _is_under_way(request: Request) -> bool:
    return request.batch is not None and request.batch.created_at is not None


def _pick(candidates: Sequence[Any], number: int) -> Any:
    return candidates[number % len(candidates)] if candidates else None


_ACTIONS: Final[dict[str, Callable[[_Player, int, int], object]]] = {
    name: getattr(_Player, name) for name in dict.fromkeys(_STEPS)
}

"""What happens in a golden log: every event of the catalogue, and something for every projection table.

Time and ids follow from a seed. Changing the story changes no log that is frozen, only the next one.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from ledger import Ledger, NewEvent
from ledger import events as e
from tests.support.history import History, prefix, usage
from tests.support.mixed import mixed_history
from tests.support.prices import price_book

__all__ = ["tell"]

NUL = "before\0after"
LANGUAGES = "größe 数 🦊 e\u0301"

MODELS: Final[dict[str, str | list[tuple[str, str]]]] = {
    "claude-haiku-4-5": "1",
    "claude-opus-5-5": "4",
    "claude-sonnet-5-5": "3",
}
BOOKS = (
    price_book(MODELS),
    price_book({**MODELS, "claude-haiku-4-5": [("2024-01-01T00:00:00Z", "1"), ("2026-11-22T18:00:00Z", "1.5")]}),
    price_book({**MODELS, "claude-opus-99": "12.5"}),
)
"""The second one changes a price in the middle of the story, the third prices what nobody could before."""


def tell(ledger: Ledger) -> None:
    """Append the story to a ledger without events, chapter by chapter."""
    history = History(ledger.clock, ledger.ids)  # type: ignore[arg-type]
    history.adopt(BOOKS[0])
    for chapter in (mixed_history, _words, _trouble, _tools, _the_end):
        chapter(history)
        ledger.append(_with_causes(history.take()))
        history.clock.advance(hours=5, seconds=0.25)


def _with_causes(events: list[NewEvent]) -> list[NewEvent]:
    """Every third event is said to follow from the one before it."""
    causes: list[UUID | None] = [None, *(event.event_id for event in events)]
    return [
        msgspec.structs.replace(event, causation_id=cause) if at % 3 == 2 else event
        for at, (event, cause) in enumerate(zip(events, causes, strict=False))
    ]


def _words(history: History) -> None:
    """Text from all over the world, NUL included, which Postgres takes in no column."""
    history.adopt(BOOKS[1])
    quiet = history.request(f"id {LANGUAGES}", key=f"key {LANGUAGES}", tags={"team": LANGUAGES, "naïve": NUL})
    loud = history.request(NUL, tags={"team": "docs", "": "nothing"})
    batch = history.submitted([quiet, loud])
    history.end(batch)
    error = e.RequestFailed(error_type=NUL, message=f"{NUL} {LANGUAGES}\n\t\\u0000", retryable=False, **loud.item)
    history.succeed(quiet, usage(40, 4))
    history.add(e.request_stream(loud.id), error)
    loud.state = "done"
    history.collected(batch)
    history.add("config/default", e.ConfigRejected(problems=(NUL, LANGUAGES, "no such provider")))


def _trouble(history: History) -> None:
    """Batches that are refused, lost, released, stopped, split; requests that are given up."""
    given_up, stopped, late = (history.request(tags={"team": "docs"}) for _ in range(3))
    batch = history.plan([given_up, stopped, late])
    history.start(batch)
    history.refuse(batch)
    history.clock.advance(minutes=1)
    history.start(batch)
    history.doubt(batch)
    history.clock.advance(minutes=6)
    history.release(batch)
    history.start(batch)
    history.accept(batch)
    history.ask_to_cancel(batch)
    history.poll(batch, state="canceling")
    history.end(batch)
    history.fail(given_up)
    history.cancel(stopped)
    history.expire(late)
    history.collected(batch)
    history.abandon(given_up)
    history.retry(late, delay=3600)
    history.succeed(stopped, usage(5, 5))  # after its end: billed as a duplicate
    _second_chances(history)
    halves = history.plan([history.request(), history.request()])
    history.start(halves)
    history.fail_batch(halves)


def _second_chances(history: History) -> None:
    """A twin; a standard call in the place of a batch, another that nobody saw end; one opened again by hand."""
    once_more, alone, unseen = (history.request(tags={"team": "docs"}) for _ in range(3))
    batch = history.submitted([once_more, alone, unseen])
    history.twin(batch)
    history.end(batch)
    history.fail(once_more, retryable=False)
    history.expire(alone)
    history.fail(unseen)
    history.collected(batch)
    history.call(alone)
    history.succeed(alone, usage(7, 7))
    history.call(unseen)
    history.cost_unknown(unseen)
    history.abandon(unseen)
    history.reopen(once_more)
    history.succeed(history.submitted([once_more]).requests[0], usage(8, 8))


def _tools(history: History) -> None:
    """Usage in every shape that is read, under a prefix that is written, read, and written in vain."""
    shared, vain = prefix("tools", "system", "golden"), prefix("tools", "system", "vain")
    batch = history.submitted(
        [history.request(prefix=one, model="claude-opus-5-5") for one in (shared, shared, vain)]
    )
    history.end(batch)
    first, second, third = batch.requests
    history.succeed(first, usage(10, 20, write_5m=2000, write_1h=3000))
    history.succeed(second, usage(10, 20, read=5000, server_tool_use={"web_search_requests": 2}))
    history.succeed(third, usage(10, 20, write_5m=4000, service_tier="batch", inference_geo="us"))
    history.collected(batch)
    called = history.request(mode="standard", model="claude-opus-5-5")
    history.succeed(called, usage(120_000, 5))
    history.succeed(history.request(mode="standard"), usage(-5, 5))  # cannot be read
    advised = {"type": "advisor_message", "model": "claude-sonnet-5-5", "input_tokens": 70, "output_tokens": 7}
    compacted = {"type": "compaction", "input_tokens": 9, "output_tokens": 1}
    history.succeed(history.request(mode="standard"), usage(5, 5, iterations=[compacted, advised]))


def _the_end(history: History) -> None:
    """What nobody could price gets its price, but for one; and something is left to do."""
    history.succeed(history.request(mode="standard", model="claude-nobody-knows"), usage(3, 3))
    history.adopt(BOOKS[2])
    history.request(tags={"env": "live"})
    history.plan([history.request()])

"""A results file of twenty rows is cut at every byte: what stood there whole is recorded, nothing else is, and the
next fetch completes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import accumulate
from typing import Any

import pytest

from ledger.events import (
    BatchPolled,
    CacheUsageRecorded,
    EventData,
    RequestExpired,
    RequestFailed,
    RequestSucceeded,
)
from ledger.queries import batch as read_batch
from ledger.queries import batches
from scheduler.collect import collect
from scheduler.leases import Lease
from scheduler.providers.anthropic.results import parse_result, split_lines
from scheduler.providers.base import ItemResult, ResultsUnavailable
from tests.support.simulator_world import SimulatedWorld, simulated_world

ROWS = 20
REFUSED = 3
OUTCOMES = RequestSucceeded | RequestFailed | RequestExpired
NEWLINE = ord("\n")
FRAMINGS: tuple[dict[str, bool], ...] = ({"silent": True}, {}, {"length": True}, {"silent": True})
NETWORK_PIECE = 700
"""Bytes that arrive at once: lines are put together of several pieces, and pieces hold several lines."""


@pytest.fixture
def world() -> Iterator[SimulatedWorld]:
    """Items of every kind: three succeed, three are refused, three are overloaded once, and eleven expire once."""
    with simulated_world(size=ROWS) as world:
        for kind, last in (("invalid", "(2|10|18)"), ("overloaded", "(1|9|17)"), ("expired", "(0|8|16)")):
            rest = f"(?!{last}$)" if kind == "expired" else last + "$"
            world.simulator.accident(kind=kind, custom_id=f"-{rest}")
        yield world


def end(world: SimulatedWorld, many: int) -> list[str]:
    """Send so many batches and wait for their end. Returns our ids of them, none of them collected."""
    for _ in range(many):
        world.plan(ROWS)
    world.worker.tick()
    world.pass_time(10)
    while any(row.status != "ended" for row in batches(world.ledger)):
        assert world.worker.advance()
    return [row.id for row in batches(world.ledger)]


def fetch(world: SimulatedWorld, batch_id: str) -> None:
    """One look at the results."""
    with leased(world, batch_id) as lease:
        collect(world.context, read_batch(world.ledger, batch_id), lease)


@contextmanager
def leased(world: SimulatedWorld, batch_id: str) -> Iterator[Lease]:
    lease = world.worker.leases.acquire(batch_id)
    assert lease is not None
    yield lease
    world.worker.leases.release(lease)


def file_of(world: SimulatedWorld, batch_id: str) -> bytes:
    with world.client() as http:
        provider_id = read_batch(world.ledger, batch_id).provider_batch_id
        return http.get(f"/v1/messages/batches/{provider_id}/results").raise_for_status().content


class Settled:
    """Which items of a batch have their outcome, as the log tells from now on."""

    def __init__(self, world: SimulatedWorld, batch_id: str) -> None:
        self._ledger = world.ledger
        self._batch_id = batch_id
        self._position = world.ledger.head().position
        self._items: set[int | None] = set()
        self.last: EventData | None = None

    def count(self) -> int:
        """How many there are. Asserts that none has two, and that each answer stands beside what it cost."""
        answers: list[int | None] = []
        costs: list[int | None] = []
        for event in self._ledger.events(after=self._position):
            self._position, self.last = event.position, event.data
            if isinstance(event.data, OUTCOMES) and event.data.batch_id == self._batch_id:
                assert event.data.batch_index not in self._items
                self._items.add(event.data.batch_index)
                answers += [event.data.batch_index] * isinstance(event.data, RequestSucceeded)
            elif isinstance(event.data, CacheUsageRecorded):
                costs.append(event.data.batch_index)
        assert answers == costs
        return len(self._items)


def finish(world: SimulatedWorld, many: int) -> None:
    """The rest goes well: retries, and the judgement of the bill."""
    world.simulator.clear_accidents()
    world.run()
    assert world.statuses() == {"succeeded": many * (ROWS - REFUSED), "errored": many * REFUSED}
    world.check()


class CutShort:
    """Results cut after `after` bytes, read by the client's own splitter and parser; all else is the provider's."""

    def __init__(self, provider: Any, content: bytes) -> None:
        self.provider = provider
        self._content = content
        self.after = 0
        self.noticed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.provider, name)

    def results(self, batch_id: str) -> Iterator[ItemResult]:
        return map(parse_result, split_lines(self._pieces()))

    def _pieces(self) -> Iterator[bytes]:
        for begin in range(0, self.after, NETWORK_PIECE):
            yield self._content[begin : min(begin + NETWORK_PIECE, self.after)]
        if self.noticed:
            raise ResultsUnavailable("broke off")

    @property
    def whole(self) -> int:
        """Lines that arrive whole. At a silent end the last one needs no newline."""
        return self._content[: self.after + (not self.noticed)].count(b"\n")


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "silent"])
def test_every_byte_yields_the_whole_lines_before_it(world: SimulatedWorld, noticed: bool) -> None:
    """At each cut: exactly the lines that are whole, then an error, but for a silent cut at the end of a line."""
    content = file_of(world, end(world, 1)[0])
    provider = CutShort(world.provider, content)
    provider.noticed = noticed
    whole = [parse_result(line) for line in content.splitlines()]
    assert len(whole) == ROWS
    ends = {0} | {at for at, byte in enumerate(content) if byte == NEWLINE or content[at - 1] == NEWLINE}
    for provider.after in range(len(content)):
        read: list[ItemResult] = []
        complete = False
        with suppress(ResultsUnavailable):
            for result in provider.results(""):
                read.append(result)
            complete = True
        assert read == whole[: provider.whole]
        assert complete == (not noticed and provider.after in ends)


def test_a_batch_survives_a_cut_at_every_byte(world: SimulatedWorld) -> None:
    """One after the other: each cut shows one byte more, and is collected as far as it goes."""
    (batch_id,) = end(world, 1)
    content = file_of(world, batch_id)
    cut = CutShort(world.provider, content)
    world.provider = cut  # type: ignore[assignment]
    world.worker = world.newborn()
    settled = Settled(world, batch_id)
    known = 0
    with leased(world, batch_id) as lease:
        for cut.after in range(len(content) - 1):
            at_end = NEWLINE in content[max(cut.after - 1, 0) : cut.after + 1]
            for noticed in (True, False) if at_end else (cut.after % 2 == 0,):
                cut.noticed = noticed
                collect(world.context, read_batch(world.ledger, batch_id), lease)
                known = max(cut.whole, known)
                assert settled.count() == known
                assert isinstance(settled.last, BatchPolled)
                assert settled.last.problem
        assert (known, read_batch(world.ledger, batch_id).status) == (ROWS - 1, "ended")
        cut.after, cut.noticed = len(content), False
        collect(world.context, read_batch(world.ledger, batch_id), lease)
    assert (settled.count(), read_batch(world.ledger, batch_id).status) == (ROWS, "collected")
    world.provider = cut.provider
    world.restart()
    finish(world, 1)


def test_over_the_wire_around_the_end_of_every_line(world: SimulatedWorld) -> None:
    """Each cut befalls a batch of its own, and the second fetch is whole."""
    ids = end(world, ROWS)
    for line, batch_id in enumerate(ids):
        offset = line % 3  # the line without its last byte, without its newline, or with both
        ends = list(accumulate(map(len, file_of(world, batch_id).splitlines(keepends=True))))
        framing = FRAMINGS[line % len(FRAMINGS) if offset < 2 else 0]
        silent = "silent" in framing
        settled = Settled(world, batch_id)
        after = ends[line] + offset - 2
        world.simulator.fault(endpoint="batches.results", kind="truncate", after_bytes=after, **framing)
        fetch(world, batch_id)
        whole = line + (offset == 2 or (offset == 1 and silent))
        assert settled.count() == whole
        complete = silent and whole == ROWS
        assert read_batch(world.ledger, batch_id).status == ("collected" if complete else "ended")
        if not complete:
            fetch(world, batch_id)
        assert (settled.count(), read_batch(world.ledger, batch_id).status) == (ROWS, "collected")
    finish(world, len(ids))

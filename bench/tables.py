"""What each part of the page says: its heading, what was done, and its figures as cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from bench.results import AppendRate, CommitRate, EndToEnd, FoldRate, ReadLatency, Size, Taken

__all__ = ["SECTIONS", "Figures", "Section"]


class Figures(msgspec.Struct, frozen=True):
    """A table. Its first `words` columns are text, the rest numbers."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: int = 1


class Section(msgspec.Struct, frozen=True):
    """A part of the page: `figures` makes tables of what was taken on each database."""

    title: str
    text: str
    figures: Callable[[Mapping[str, Taken[Any]]], list[Figures]]


def _append(taken: Mapping[str, Taken[AppendRate]]) -> list[Figures]:
    columns = (
        "database",
        "events per list",
        "events",
        "bare driver, events/s",
        "eventsourcing, events/s",
        "a save each, events/s",
        "ours, events/s",
        "of the driver",
        "× eventsourcing",
        "× a save each",
    )
    rows = [
        (
            database,
            f"{rate.per_list:,}" if rate.per_list else "1 to 1,501",
            *(f"{value:,.0f}" for value in (rate.events, rate.driver, rate.peer, rate.peer_alone, rate.ours)),
            *(f"{rate.ours / other:.2f}" for other in (rate.driver, rate.peer, rate.peer_alone)),
        )
        for database, rate in _each(taken)
    ]
    return [Figures(columns, rows, words=2)]


def _concurrent(taken: Mapping[str, Taken[CommitRate]]) -> list[Figures]:
    columns = ("database", "side", "one appender, events/s", "32 appenders, events/s", "× one event per commit")
    names = {"ours": "ours", "driver": "bare driver", "peer": "eventsourcing"}
    rows = []
    for database, one in taken.items():
        bare = next(rate.single for rate in one.rows if rate.side == "driver")
        rows += [
            (
                database,
                names[rate.side],
                f"{rate.single:,.0f}",
                f"{rate.shared:,.0f}",
                f"{rate.shared / rate.single:.1f} its own, {rate.shared / bare:.1f} the driver's",
            )
            for rate in one.rows
        ]
    return [Figures(columns, rows, words=2)]


def _reads(taken: Mapping[str, Taken[ReadLatency]]) -> list[Figures]:
    return [_latencies(database, one.rows) for database, one in taken.items()]


def _latencies(database: str, latencies: Iterable[ReadLatency]) -> Figures:
    cells = {(one.query, one.events): (f"{one.p50:.2f}", f"{one.p95:.2f}") for one in latencies}
    sizes = sorted({events for _, events in cells})
    queries = list(dict.fromkeys(query for query, _ in cells))
    columns = [f"{name} at {events:,} events, ms" for events in sizes for name in ("p50", "p95")]
    rows = [
        (query, *(cell for events in sizes for cell in cells.get((query, events), ("–", "–")))) for query in queries
    ]
    return Figures((database, *columns), rows)


def _sizes(taken: Mapping[str, Taken[Size]]) -> list[Figures]:
    columns = ("database", "part", "events", "bytes", "bytes per event")
    rows = [
        (database, size.what, f"{size.events:,}", f"{size.bytes:,}", f"{size.bytes / size.events:,.0f}")
        for database, size in _each(taken)
    ]
    return [Figures(columns, rows, words=2)]


def _rates(taken: Mapping[str, Taken[FoldRate]]) -> list[Figures]:
    columns = ("database", "what", "events", "seconds", "events/s")
    rows = [
        (database, rate.what, f"{rate.events:,}", f"{rate.seconds:,.1f}", f"{rate.events / rate.seconds:,.0f}")
        for database, rate in _each(taken)
        if rate.seconds
    ]
    return [Figures(columns, rows, words=2)]


def _end_to_end(taken: Mapping[str, Taken[EndToEnd]]) -> list[Figures]:
    columns = (
        "database",
        "requests",
        "MB",
        "batches",
        "side",
        "steps, s",
        "wall, s",
        "CPU, s",
        "of the simulator, s",
        "peak, MB",
        "wall, × the SDK",
    )
    rows = []
    for database, run in _each(taken):
        for name, side in (("ours", run.ours), ("bare SDK", run.sdk)):
            steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in side.steps.items())
            figures = (side.seconds, side.cpu, side.simulator_cpu)
            shape = (f"{run.requests:,}", f"{run.bytes / 1e6:.0f}", str(run.batches))
            ratio = f"{side.seconds / run.sdk.seconds:.2f}"
            rows.append(
                (database, *shape, name, steps, *(f"{one:.1f}" for one in figures), f"{side.peak / 1e6:.0f}", ratio)
            )
    return [Figures(columns, rows)]


def _each(taken: Mapping[str, Taken[Any]]) -> Iterable[tuple[str, Any]]:
    return ((database, row) for database, one in taken.items() for row in one.rows)


SECTIONS: Final = {
    "append": Section(
        "Bulk append",
        """\
Through the public API: encoding, both hashes, versions, and all projections in the same transaction. The events are
a year of traffic, half batch items with their whole life, half standard calls; 6 models, 3 tags. In lists of a bulk
loader, and in lists as an application makes them. The bare driver writes the same rows into the same table (two
unique indexes beside the key) and nothing else, one transaction per list: `executemany`, binary `COPY`. The peer is
the `eventsourcing` library: an aggregate per request, the same fields in the same numbers of events, its default JSON
transcoder, our SQLite with our pragmas. Only its `Application.save(*aggregates)` is timed, once per list (on Postgres
once per 500 events, since its pipelined INSERT hangs with many more); "a save each" is one `save(aggregate)`, and so
one commit, per changed aggregate, over a year of 3,000 events. It keeps no projections and no hashes.""",
        _append,
    ),
    "concurrent": Section(
        "Single events, each durable",
        """\
One appender that commits event after event, then 32 threads that do so at once. Ours share one ledger, whose commits
group what arrives together. The bare driver's threads take turns at one connection on SQLite, and have a connection
each on Postgres; the peer's share its pool.""",
        _concurrent,
    ),
    "reads": Section(
        "Reading",
        """\
The functions behind the command line, in a warm process, over random ids, months and places in the list. Each size is
a ledger of its own that spreads one year of traffic. The start of a process is not in it.""",
        _reads,
    ),
    "sizes": Section(
        "On disk",
        """\
Of the ledgers above; the bodies of requests and answers are not in them. SQLite tells the parts apart where the
interpreter's library has `dbstat`.""",
        _sizes,
    ),
    "rates": Section(
        "Filling, verifying, rebuilding",
        """\
Filling is bulk append by lists of 5,000, its seconds those inside `append`. `verify` recomputes every hash and folds
the whole log anew beside the stored projections; `rebuild` replaces them.""",
        _rates,
    ),
    "end-to-end": Section(
        "A file of requests, from `submit` to the last projection",
        """\
`llm-ledger submit` and `llm-ledger run --until-idle` as processes, against a process with nothing but the official
SDK: `create`, ask every half second, iterate `results`. The same bodies, a fresh simulator for each with the same
settings, which ends a batch as soon as it has worked through it. Wall time is that of the whole processes, imports
included; the peak is that of the larger of our two. The simulator is a Python program on the same cores: its CPU
seconds are a part of both sides' wall time.""",
        _end_to_end,
    ),
}

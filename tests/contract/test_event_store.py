"""What every database has to do for the log: all or nothing, in order, once, for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.exc import DBAPIError

from ledger import Ledger, NewEvent, schema
from ledger.backends import Database, DuplicateRow
from ledger.codec import GENESIS, chain_hash, encode_data
from ledger.errors import IdempotencyMismatch, InputError, LedgerCorrupt, VersionConflict
from ledger.events import ConfigChanged, RequestSucceeded
from ledger.payloads import EncodedPayload, PayloadPurged, encode_payload, read_payload
from ledger.queries import find_request
from ledger.store import CHUNK, EventStore
from ledger.verify import verify
from tests.support.clock import NOON, FakeClock, seeded_ids
from tests.support.history import History
from tests.support.ledgers import dump
from tests.support.processes import start_writer

ids = seeded_ids()


def note(stream: str, version: int, text: str = "", event_id: UUID | None = None) -> NewEvent:
    """An event that no projection looks at."""
    body = ConfigChanged(version=text, config=msgspec.Raw(b"{}"))
    return NewEvent(stream, version, body, event_id or ids.new(), NOON)


def notes(stream: str, first: int, last: int) -> list[NewEvent]:
    return [note(stream, version) for version in range(first, last + 1)]


# --- appending and reading -----------------------------------------------------------------------------------


def test_an_empty_log_begins_at_nothing(store: EventStore) -> None:
    assert (store.head().position, store.head().hash) == (0, GENESIS)
    assert list(store.read()) == []
    assert list(store.read(newest_first=True)) == []


def test_positions_have_no_gaps_across_appends_and_streams(store: EventStore) -> None:
    assert store.append([note("config/a", 1), note("config/b", 1), note("config/a", 2)]) == [1, 2, 3]
    assert store.append([note("config/b", 2)]) == [4]
    assert [(event.position, event.stream_id, event.version) for event in store.read()] == [
        (1, "config/a", 1),
        (2, "config/b", 1),
        (3, "config/a", 2),
        (4, "config/b", 2),
    ]


def test_an_event_comes_back_as_it_went_in(store: EventStore, clock: FakeClock) -> None:
    clock.advance(hours=1)
    body = ConfigChanged(version="7 ½ 🙂\x00", config=msgspec.Raw(b'{"b":1e2, "a":[1,  2], "b":null}'))
    correlation, causation = ids.new(), ids.new()
    occurred = NOON - timedelta(days=3, microseconds=1)
    event = NewEvent("config/ä", 1, body, ids.new(), occurred, correlation, causation)
    store.append([event])
    (stored,) = store.read()
    assert (stored.stream_id, stored.version, stored.event_id) == ("config/ä", 1, event.event_id)
    assert (stored.type, stored.schema_version) == ("config.changed", 1)
    assert (stored.occurred_at, stored.recorded_at) == (occurred, NOON + timedelta(hours=1))
    assert (stored.correlation_id, stored.causation_id) == (correlation, causation)
    assert isinstance(stored.data, ConfigChanged)
    assert (stored.data.version, bytes(stored.data.config)) == (body.version, bytes(body.config))


def test_the_body_is_stored_byte_for_byte(store: EventStore) -> None:
    body = ConfigChanged(version="1", config=msgspec.Raw(b'{"b":1e2,  "a":1.0, "b":2}'))
    store.append([NewEvent("config/a", 1, body, ids.new(), NOON)])
    (row,) = store.read_rows()
    assert row.data.encode() == encode_data(body)


def test_every_hash_follows_from_the_one_before(store: EventStore) -> None:
    store.append(notes("config/a", 1, 3))
    store.append(notes("config/a", 4, 5))
    previous = GENESIS
    for row in store.read_rows():
        columns: Any = tuple(row)[:10]
        assert row.hash == chain_hash(previous, columns, row.body_hash)
        previous = row.hash
    assert (store.head().position, store.head().hash) == (5, previous)


def test_nothing_appended_is_nothing_done(store: EventStore) -> None:
    assert store.append([]) == []
    assert store.head().position == 0


def test_an_append_may_be_larger_than_a_chunk(store: EventStore, database: Database) -> None:
    count = CHUNK + 3
    assert store.append(notes("config/a", 1, count)) == list(range(1, count + 1))
    assert [event.position for event in store.read()] == list(range(1, count + 1))
    assert [event.position for event in store.read(newest_first=True)] == list(range(count, 0, -1))
    assert verify(database).sound


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"after": 4}, [5, 6]),
        ({"after": 6}, []),
        ({"limit": 2}, [1, 2]),
        ({"limit": 0}, []),
        ({"stream": "config/b"}, [2, 4, 6]),
        ({"stream": "config/none"}, []),
        ({"stream": "config/b", "after": 2, "limit": 1}, [4]),
        ({"newest_first": True, "limit": 2}, [6, 5]),
        ({"newest_first": True, "after": 3}, [2, 1]),
        ({"newest_first": True, "stream": "config/a"}, [5, 3, 1]),
    ],
)
def test_reading_a_part(store: EventStore, selection: dict[str, Any], expected: list[int]) -> None:
    store.append([note(f"config/{'ab'[at % 2]}", at // 2 + 1) for at in range(6)])
    assert [event.position for event in store.read(**selection)] == expected


def test_reading_goes_page_by_page(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(notes("config/a", 1, 10))
    monkeypatch.setattr("ledger.store.CHUNK", 3)
    assert [event.position for event in store.read()] == list(range(1, 11))
    assert [event.position for event in store.read(limit=6)] == list(range(1, 7))
    assert [event.position for event in store.read(limit=7, newest_first=True)] == list(range(10, 3, -1))


def test_a_reader_may_append_between_two_events(store: EventStore) -> None:
    store.append(notes("config/a", 1, 2))
    for event in store.read(limit=2):
        store.append([note("config/b", event.version)])
    assert store.head().position == 4


def test_text_that_has_no_bytes_is_refused(store: EventStore) -> None:
    with pytest.raises(InputError, match=r"config/a: config\.changed contains a lone surrogate"):
        store.append([note("config/b", 1), note("config/a", 1, "\ud800")])
    assert store.head().position == 0


# --- versions ------------------------------------------------------------------------------------------------


def refused(store: EventStore, events: list[NewEvent]) -> VersionConflict:
    before = [event.position for event in store.read()]
    with pytest.raises(VersionConflict) as refusal:
        store.append(events)
    assert [event.position for event in store.read()] == before
    return refusal.value


def test_a_stream_that_moved_on_refuses(store: EventStore) -> None:
    store.append(notes("config/a", 1, 3))
    conflict = refused(store, [note("config/b", 1), note("config/a", 3)])
    assert (conflict.stream_id, conflict.expected, conflict.actual) == ("config/a", 3, 3)


def test_a_version_cannot_be_left_out(store: EventStore) -> None:
    store.append([note("config/a", 1)])
    conflict = refused(store, [note("config/a", 3)])
    assert (conflict.stream_id, conflict.expected, conflict.actual) == ("config/a", 3, 1)
    assert refused(store, [note("config/new", 2)]).actual == 0
    assert refused(store, [note("config/new", 0)]).actual == 0


def test_a_version_cannot_be_left_out_within_one_append(store: EventStore) -> None:
    conflict = refused(store, [note("config/a", 1), note("config/b", 1), note("config/a", 3)])
    assert (conflict.stream_id, conflict.expected, conflict.actual) == ("config/a", 3, 1)
    assert refused(store, [note("config/a", 1), note("config/a", 1)]).stream_id == "config/a"
    assert refused(store, [note("config/a", 2), note("config/a", 1)]).stream_id == "config/a"


def test_a_stream_is_opened_once(store: EventStore) -> None:
    store.append(notes("config/a", 1, 2))
    conflict = refused(store, [note("config/b", 1), note("config/a", 1)])
    assert (conflict.stream_id, conflict.expected, conflict.actual) == ("config/a", 1, 2)


def test_versions_of_many_streams_are_looked_up(store: EventStore) -> None:
    count = 1100
    store.append([note(f"config/{at}", 1) for at in range(count)])
    following = [note(f"config/{at}", 2) for at in range(count)]
    assert refused(store, [*following[:-1], note(f"config/{count - 1}", 3)]).stream_id == f"config/{count - 1}"
    assert store.append(following)[0] == count + 1


def test_two_requests_cannot_have_one_identity(store: EventStore) -> None:
    """The streams are new, but a projection knows (key, custom_id) already."""
    history = History()
    history.request("same")
    store.append(history.take())
    history.request("same")
    refused(store, history.take())


# --- once ----------------------------------------------------------------------------------------------------


def test_the_same_append_again_changes_nothing(store: EventStore) -> None:
    events = [*notes("config/a", 1, 2), note("config/b", 1)]
    positions = store.append(events)
    store.append([note("config/a", 3)])
    head = store.head()
    assert store.append(events) == positions
    assert store.append(list(reversed(events))) == list(reversed(positions))
    assert store.append(events[1:2]) == [2]
    assert store.head() == head


def test_of_an_append_that_is_there_in_part_the_rest_is_appended(store: EventStore, database: Database) -> None:
    one, two, other = note("config/a", 1), note("config/a", 2), note("config/b", 1)
    store.append([one])
    assert store.append([one, two, other]) == [1, 2, 3]
    assert [event.event_id for event in store.read()] == [one.event_id, two.event_id, other.event_id]
    assert verify(database).sound


def test_many_events_are_recognised(store: EventStore) -> None:
    events = notes("config/a", 1, 1200)
    assert store.append(events[:700]) == list(range(1, 701))
    assert store.append(events) == list(range(1, 1201))


def test_the_rest_may_conflict(store: EventStore) -> None:
    one = note("config/a", 1)
    store.append([one, note("config/b", 1)])
    conflict = refused(store, [one, note("config/b", 1)])
    assert conflict.stream_id == "config/b"
    assert refused(store, [one, note("config/a", 3)]).actual == 1


def test_an_id_with_another_body_is_refused(store: EventStore) -> None:
    one = note("config/a", 1, "says this")
    store.append([one])
    with pytest.raises(IdempotencyMismatch) as refusal:
        store.append([note("config/a", 1, "says that", one.event_id)])
    assert (refusal.value.event_id, refusal.value.stream_id) == (str(one.event_id), "config/a")
    assert str(one.event_id) in str(refusal.value)
    assert store.head().position == 1


def test_an_id_in_another_stream_is_refused(store: EventStore) -> None:
    one = note("config/a", 1)
    store.append([one])
    with pytest.raises(IdempotencyMismatch):
        store.append([note("config/b", 1, event_id=one.event_id)])
    assert store.head().position == 1


def test_an_id_stands_once_in_an_append(store: EventStore) -> None:
    one = note("config/a", 1)
    refused(store, [one, note("config/a", 2, event_id=one.event_id)])


# --- all or nothing ------------------------------------------------------------------------------------------


class Stop(Exception):
    """What a guard says."""


def stop(_connection: Connection) -> None:
    raise Stop


def body_of(database: Database, payload: EncodedPayload) -> bytes:
    with database.read() as connection:
        return read_payload(connection, payload.digest)


def test_a_guard_stops_everything(store: EventStore, database: Database) -> None:
    payload = encode_payload(b"body")
    with pytest.raises(Stop):
        store.append([note("config/a", 1)], payloads=[payload], guard=stop)
    assert store.head().position == 0
    with pytest.raises(PayloadPurged):
        body_of(database, payload)
    assert store.append([note("config/a", 1)]) == [1]


def test_a_guard_sees_the_log_as_the_append_will_find_it(store: EventStore) -> None:
    seen: list[int] = []

    def look(connection: Connection) -> None:
        seen.append(connection.scalars(select(schema.ledger_head.c.position)).one())

    store.append([note("config/a", 1)], guard=look)
    store.append([note("config/a", 2)], guard=look)
    assert seen == [0, 1]


def test_what_cannot_be_folded_is_not_appended(store: EventStore, database: Database) -> None:
    orphan = RequestSucceeded(model="m", result=sha256(b"").hexdigest(), size=0, processing="standard")
    payload = encode_payload(b"body")
    before = dump(database)
    with pytest.raises(LedgerCorrupt, match=r"event 2 \(request\.succeeded\) speaks of 'nobody'"):
        store.append(
            [note("config/a", 1), NewEvent("request/nobody", 1, orphan, ids.new(), NOON)], payloads=[payload]
        )
    assert store.head().position == 0
    assert dump(database) == before
    with pytest.raises(PayloadPurged):
        body_of(database, payload)


def test_bodies_are_stored_with_the_events_that_speak_of_them(store: EventStore, database: Database) -> None:
    payloads = [encode_payload(b"one"), encode_payload(b"two"), encode_payload(b"one")]
    store.append([note("config/a", 1)], payloads=iter(payloads))
    store.append([note("config/a", 2)], payloads=payloads)
    assert [body_of(database, payload) for payload in payloads] == [b"one", b"two", b"one"]


def test_projections_move_with_the_log(store: EventStore, database: Database) -> None:
    history = History()
    request = history.request()
    store.append(history.take())
    history.submitted([request])
    history.succeed(request)
    store.append(history.take())
    row = find_request(Ledger(database), request.id)
    assert (row.status, row.version, row.seq) == ("succeeded", 4, 1)
    assert verify(database).sound


# --- for ever ------------------------------------------------------------------------------------------------

Attack = Callable[[Connection], object]

ATTACKS: dict[str, Attack] = {
    "update": lambda connection: connection.execute(update(schema.events).values(data="{}")),
    "update of one": lambda connection: connection.execute(
        update(schema.events).where(schema.events.c.position == 2).values(recorded_at=0)
    ),
    "delete": lambda connection: connection.execute(delete(schema.events)),
    "delete of the last": lambda connection: connection.execute(
        delete(schema.events).where(schema.events.c.position == 3)
    ),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_stored_events_cannot_be_touched(store: EventStore, database: Database, attack: Attack) -> None:
    store.append(notes("config/a", 1, 3))
    before = [tuple(row) for row in store.read_rows()]
    with pytest.raises((DuplicateRow, DBAPIError), match="append-only"), database.write() as connection:
        attack(connection)
    assert [tuple(row) for row in store.read_rows()] == before
    assert verify(database).sound


# --- together ------------------------------------------------------------------------------------------------


def test_threads_take_turns(store: EventStore, database: Database) -> None:
    def write(name: int) -> list[int]:
        return [store.append([note(f"config/{name}", at), note(f"config/{name}", at + 1)])[0] for at in (1, 3, 5, 7)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(write, range(6)))
    assert sorted(first for positions in found for first in positions) == list(range(1, 48, 2))
    assert all(positions == sorted(positions) for positions in found)
    assert verify(database).events == 48
    assert verify(database).sound


def test_of_threads_that_want_one_version_one_wins(store: EventStore) -> None:
    barrier = threading.Barrier(4)

    def write(_name: int) -> bool:
        barrier.wait()
        try:
            store.append([note("config/a", 1)])
        except VersionConflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(write, range(4))) == [False, False, False, True]


def test_threads_with_the_same_events_all_get_their_positions(store: EventStore) -> None:
    events = notes("config/a", 1, 5)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _turn: store.append(events), range(8))) == [[1, 2, 3, 4, 5]] * 8


def test_readers_see_whole_appends_only(store: EventStore) -> None:
    done = threading.Event()

    def write() -> None:
        for at in range(1, 60, 3):
            store.append(notes("config/a", at, at + 2))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    counts = set()
    while not done.is_set():
        counts.add(len(list(store.read())))
    writer.join()
    assert all(count % 3 == 0 for count in counts)


def test_processes_take_turns(shared_url: str) -> None:
    with Ledger.open(shared_url) as ledger:
        writers = [start_writer(shared_url, name, appends=15, size=4) for name in ("a", "b", "c")]
        said = [writer.communicate()[0].split("\n") for writer in writers]
        assert [writer.returncode for writer in writers] == [0, 0, 0]
        firsts = sorted(int(line.split()[0]) for lines in said for line in lines[1:-1])
        assert firsts == list(range(2, 2 + 3 * 15 * 4, 4))
        verification = verify(ledger.database)
        assert (verification.events, verification.problems) == (1 + 3 * 15 * 4, ())


@pytest.mark.parametrize("acknowledged", [1, 7])
def test_what_was_acknowledged_survives_a_kill(shared_url: str, acknowledged: int) -> None:
    size = 40
    writer = start_writer(shared_url, "a", appends=100_000, size=size)
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(1 + acknowledged)]
    writer.kill()
    rest, _ = writer.communicate()
    assert writer.returncode == -9
    said += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    with Ledger.open(shared_url) as ledger:
        stored = {event.position: event.version for event in ledger.events(stream="config/a")}
        for line in said[1:]:
            first, version = map(int, line.split())
            assert [stored[first + at] for at in range(size)] == list(range(version, version + size))
        assert len(stored) % size == 0
        assert verify(ledger.database).problems == ()
        following = note("config/a", len(stored) + 1)
        assert ledger.append([following]) == [len(stored) + 2]

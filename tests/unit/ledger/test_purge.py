"""Old bodies go, and nothing else: whoever still needs one keeps it, whatever it is shared with."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, update

from ledger import Ledger, schema
from ledger.errors import LedgerCorrupt
from ledger.events import prices_stream
from ledger.ids import IdFactory
from ledger.payloads import EncodedPayload, PayloadPurged, encode_payload
from ledger.purge import Purged, _Stretch, purge
from ledger.verify import verify
from tests.support.clock import FakeClock
from tests.support.history import Batch, History, Request, usage
from tests.support.ledgers import dump

SYSTEM = "You are a careful tutor. " * 100


def params(question: str, system: str = SYSTEM) -> bytes:
    return json.dumps({"system": system, "messages": [{"role": "user", "content": question}]}).encode()


class Bodies:
    """A ledger that is filled with requests and their bodies."""

    def __init__(self, ledger: Ledger, history: History) -> None:
        self.ledger = ledger
        self.history = history
        self._payloads: list[EncodedPayload] = []
        self.rests: list[float] = []

    def request(self, custom_id: str, body: bytes, *, key: str = "default", **more: Any) -> Request:
        request = self.history.request(custom_id, key=key, **more)
        self._says(request, payload=self._stored(body, shared=True), size=len(body))
        return request

    def answered(self, request: Request, result: bytes) -> None:
        self.history.succeed(request, usage(100, 20))
        self._says(request, result=self._stored(result), back=2)

    def failed(self, request: Request, result: bytes) -> None:
        self.history.fail(request)
        self._says(request, result=self._stored(result))

    def batch(self, *pairs: tuple[Request, bytes], collected: bool = True) -> Batch:
        batch = self.history.submitted([request for request, _ in pairs])
        self.history.end(batch)
        for request, result in pairs:
            self.answered(request, result)
        if collected:
            self.history.collected(batch)
        self.append()
        return batch

    def append(self) -> None:
        payloads, self._payloads = self._payloads, []
        self.ledger.append(self.history.take(), payloads=payloads)

    def purge(self, **options: Any) -> Purged:
        """Of everything that ended before now."""
        self.history.clock.advance(1)
        options.setdefault("rest", self.rests.append)
        purged = purge(self.ledger.database, self.history.clock.now(), **options)
        assert verify(self.ledger.database, bodies=True).problems == ()
        return purged

    def has(self, body: bytes) -> bool:
        try:
            return self.ledger.payload(sha256(body).digest()) == body
        except PayloadPurged:
            return False

    def rows(self) -> int:
        with self.ledger.read() as connection:
            tables = (schema.payloads, schema.payload_blocks)
            return sum(connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables)

    def _stored(self, body: bytes, *, shared: bool = False) -> str:
        payload = encode_payload(body, shared=shared)
        self._payloads.append(payload)
        return payload.digest.hex()

    def _says(self, request: Request, *, back: int = 1, **fields: Any) -> None:
        """The event just written names a real body."""
        events = self.history._events
        events[-back] = msgspec.structs.replace(
            events[-back], data=msgspec.structs.replace(events[-back].data, **fields)
        )


@pytest.fixture
def bodies(ledger: Ledger, history: History) -> Bodies:
    return Bodies(ledger, history)


@pytest.fixture(params=[1, 1000], ids=["portions of one", "one portion"], autouse=True)
def _portions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.purge.PORTION", request.param)


# --- what goes -----------------------------------------------------------------------------------------------


def test_bodies_of_finished_requests_go_and_the_rest_of_the_ledger_stays(bodies: Bodies) -> None:
    bodies.batch(*((bodies.request(f"r{n}", params(f"q{n}")), b'{"answer": %d}' % n) for n in range(5)))
    before, head = dump(bodies.ledger.database), bodies.ledger.head()
    size = sum(len(params(f"q{n}")) + len(b'{"answer": 0}') for n in range(5))
    assert bodies.purge(dry_run=True) == Purged(5, 10, size)
    assert bodies.has(params("q0"))
    assert bodies.purge() == Purged(5, 10, size)
    assert bodies.rows() == 0
    assert dump(bodies.ledger.database) == before
    assert bodies.ledger.head() == head
    assert bodies.purge() == bodies.purge(dry_run=True) == Purged()


def test_nothing_of_them_is_left_in_the_file(tmp_path: Path, clock: FakeClock, ids: IdFactory) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock, ids=ids) as ledger:
        history = History(clock, ids)
        history.starts_after(prices_stream("anthropic"), 1)
        bodies = Bodies(ledger, history)
        bodies.batch((bodies.request("a", b'{"secret": 4711}'), b'"4712"'))
    assert b'"secret": 4711' in (tmp_path / "ledger.db").read_bytes()
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock, ids=ids) as ledger:
        purge(ledger.database, clock.now() + timedelta(days=1), rest=bodies.rests.append)
    assert b"4711" not in (tmp_path / "ledger.db").read_bytes()


def test_only_what_ended_before_the_instant_goes(bodies: Bodies) -> None:
    bodies.batch((bodies.request("old", params("old")), b'"old"'))
    bodies.history.clock.advance(days=2)
    bodies.batch((bodies.request("new", params("new")), b'"new"'))
    instant = bodies.history.clock.now() - timedelta(days=1)
    purged = purge(bodies.ledger.database, instant, rest=bodies.rests.append)
    assert purged.requests == 1
    assert (bodies.has(params("old")), bodies.has(b'"old"')) == (False, False)
    assert (bodies.has(params("new")), bodies.has(b'"new"')) == (True, True)


def test_the_instant_itself_is_not_before_it(bodies: Bodies) -> None:
    bodies.batch((bodies.request("a", params("a")), b'"a"'))
    assert purge(bodies.ledger.database, bodies.history.clock.now()) == Purged()


def test_a_key_is_purged_by_itself(bodies: Bodies) -> None:
    bodies.batch(*((bodies.request(key, params(key), key=key), key.encode()) for key in ("mine", "yours")))
    assert bodies.purge(key="mine").requests == 1
    assert (bodies.has(params("mine")), bodies.has(params("yours"))) == (False, True)
    assert bodies.purge(key="nobody") == Purged()


@pytest.mark.parametrize("reach", ["queued", "planned", "open", "ended"])
def test_what_is_under_way_stays(bodies: Bodies, reach: str) -> None:
    request = bodies.request("a", params("a"))
    history = bodies.history
    if reach != "queued":
        batch = history.plan([request])
        if reach != "planned":
            history.start(batch)
            history.accept(batch)
        if reach == "ended":
            history.end(batch)
            bodies.answered(request, b'"answer"')  # its batch is not collected yet
    bodies.append()
    assert bodies.purge() == Purged()
    assert bodies.has(params("a"))


def test_requests_that_ended_without_an_answer_and_without_a_batch_go_too(bodies: Bodies) -> None:
    canceled, refused = bodies.request("canceled", params("c")), bodies.request("refused", params("r"))
    bodies.history.cancel(canceled)
    batch = bodies.history.plan([refused])
    bodies.history.fail_batch(batch)
    bodies.history.abandon(refused)
    bodies.append()
    assert bodies.purge().requests == 2
    assert bodies.rows() == 0


def test_bodies_of_earlier_attempts_go_too(bodies: Bodies) -> None:
    request = bodies.request("a", params("a"))
    first = bodies.history.submitted([request])
    bodies.history.end(first)
    bodies.failed(request, b'"overloaded"')
    bodies.history.collected(first)
    bodies.history.retry(request)
    bodies.batch((request, b'"answer"'))
    assert bodies.has(b'"overloaded"')
    assert bodies.purge() == Purged(1, 3, len(params("a")) + len(b'"overloaded"') + len(b'"answer"'))
    assert bodies.rows() == 0


def test_writers_that_wait_get_their_turn_between_portions(bodies: Bodies) -> None:
    bodies.batch(*((bodies.request(f"r{n}", params(f"q{n}")), b"%d" % n) for n in range(3)))
    bodies.purge(dry_run=True)
    assert bodies.rests == []
    bodies.purge()
    assert set(bodies.rests) == ({0.1} if bodies.ledger.database.dialect == "sqlite" else set())


# --- what stays ----------------------------------------------------------------------------------------------


def test_a_body_that_another_request_stands_on_stays(bodies: Bodies) -> None:
    done, other = bodies.request("done", params("same")), bodies.request("other", params("same"))
    bodies.batch((done, b'"answer"'))
    assert bodies.purge() == Purged(1, 1, len(b'"answer"'))
    assert bodies.has(params("same"))
    bodies.batch((other, b'"answer"'))
    assert bodies.purge() == Purged(2, 2, len(params("same")) + len(b'"answer"'))
    assert bodies.rows() == 0


def test_a_result_that_another_request_got_too_stays(bodies: Bodies) -> None:
    one, other = bodies.request("one", params("1"), key="a"), bodies.request("other", params("2"), key="b")
    bodies.batch((one, b'"the same"'), (other, b'"the same"'))
    bodies.purge(key="a")
    assert bodies.has(b'"the same"')
    bodies.purge(key="b")
    assert bodies.has(b'"the same"')  # the one of key a is on record as before
    bodies.purge()
    assert bodies.rows() == 0


def test_a_body_of_somebodys_earlier_attempt_stays(bodies: Bodies) -> None:
    one, other = bodies.request("one", params("1"), key="a"), bodies.request("other", params("2"), key="b")
    first = bodies.history.submitted([one, other])
    bodies.history.end(first)
    for request in (one, other):
        bodies.failed(request, b'"overloaded"')
    bodies.history.collected(first)
    bodies.history.abandon(one)
    bodies.history.retry(other)
    bodies.batch((other, b'"answer"'))
    assert bodies.purge(key="a").bodies == 1
    assert bodies.has(b'"overloaded"')


def test_a_shared_block_stays_as_long_as_a_body_is_made_of_it(bodies: Bodies) -> None:
    done, waiting = bodies.request("done", params("1")), bodies.request("waiting", params("2"))
    bodies.batch((done, b'"1"'))
    bodies.purge()
    assert bodies.has(params("2"))
    bodies.batch((waiting, b'"2"'))
    bodies.purge()
    assert bodies.rows() == 0


def test_a_body_that_is_anothers_block_stays_until_that_goes(bodies: Bodies) -> None:
    block = json.dumps(SYSTEM).encode()
    inner = bodies.request("inner", block, key="inner")
    outer = bodies.request("outer", params("outer"), key="outer")
    bodies.batch((inner, b'"1"'), (outer, b'"2"'))
    assert bodies.purge(key="inner").bodies == 1
    assert bodies.has(block)
    bodies.purge(key="outer")
    assert bodies.has(block)
    assert not bodies.has(params("outer"))
    bodies.purge()
    assert bodies.rows() == 0


def test_a_block_that_is_somebodys_whole_body_stays(bodies: Bodies) -> None:
    block = json.dumps(SYSTEM).encode()
    inner = bodies.request("inner", block, key="inner")
    outer = bodies.request("outer", params("outer"), key="outer")
    bodies.batch((inner, b'"1"'), (outer, b'"2"'))
    bodies.purge(key="outer")
    assert bodies.has(block)
    assert not bodies.has(params("outer"))
    bodies.purge(key="inner")
    assert bodies.rows() == 0


def test_bodies_within_bodies_go_down_to_the_last_block(bodies: Bodies) -> None:
    inner = params("inner").decode()
    outer = b'{"messages": [%s]}' % inner.encode()
    one, other = bodies.request("one", inner.encode()), bodies.request("other", outer)
    bodies.batch((one, b'"1"'), (other, b'"2"'))
    assert bodies.purge().requests >= 1
    assert bodies.rows() == 0


# --- beside appends ------------------------------------------------------------------------------------------


def test_a_body_that_comes_into_use_after_the_look_stays(bodies: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies.batch((bodies.request("old", params("same")), b'"answer"'))
    _before_the_lock(monkeypatch, lambda: (bodies.request("new", params("same")), bodies.append()))
    assert bodies.purge().bodies == 1
    assert bodies.has(params("same"))


def test_a_result_that_comes_in_after_the_look_stays(bodies: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = bodies.request("waiting", params("waiting"))
    bodies.batch((bodies.request("old", params("old")), b'"yes"'))

    def arrives() -> None:
        bodies.batch((waiting, b'"yes"'), collected=False)

    _before_the_lock(monkeypatch, arrives)
    assert bodies.purge().bodies == 1
    assert bodies.has(b'"yes"')


def test_a_block_that_comes_into_use_after_the_look_stays(bodies: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies.batch((bodies.request("old", params("old")), b'"answer"'))
    _before_the_lock(monkeypatch, lambda: (bodies.request("new", params("new")), bodies.append()))
    assert bodies.purge().bodies == 2
    assert bodies.has(params("new"))


def test_a_body_that_comes_back_after_the_purge_is_stored_anew(bodies: Bodies) -> None:
    bodies.batch((bodies.request("old", params("same")), b'"answer"'))
    bodies.purge()
    bodies.request("new", params("same"))
    bodies.append()
    assert bodies.has(params("same"))
    assert bodies.purge() == Purged()


def test_a_purge_that_is_stopped_is_finished_by_the_next(bodies: Bodies) -> None:
    bodies.batch(*((bodies.request(f"r{n}", params(f"q{n}")), b"%d" % n) for n in range(4)))

    def stop(done: int, _total: int) -> None:
        raise KeyboardInterrupt(done)

    with pytest.raises(KeyboardInterrupt) as stopped:
        bodies.purge(progress=stop)
    done = stopped.value.args[0]
    assert verify(bodies.ledger.database, bodies=True).sound
    assert bodies.purge().requests == 4 - done
    assert bodies.rows() == 0


def test_progress_is_told_in_requests(bodies: Bodies) -> None:
    bodies.batch(*((bodies.request(f"r{n}", params(f"q{n}")), b"%d" % n) for n in range(3)))
    bodies.purge()
    bodies.batch(*((bodies.request(f"s{n}", params(f"q{n}")), b"%d" % n) for n in range(3)))
    told: list[tuple[int, int]] = []
    bodies.purge(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (6, 6)


def test_requests_are_looked_at_in_stretches(bodies: Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.purge.STRETCH", 2)
    monkeypatch.setattr("ledger.references._PAGE", 3)
    bodies.batch(*((bodies.request(f"r{n}", params(f"q{n}")), b'"same"') for n in range(10)))
    bodies.request("live", params("q3"))
    bodies.append()
    assert bodies.purge().bodies == 10
    assert bodies.has(params("q3"))
    assert [bodies.has(params(f"q{n}")) for n in range(10)].count(True) == 1


def test_nothing_is_deleted_while_the_projections_are_behind(bodies: Bodies) -> None:
    bodies.batch((bodies.request("a", params("a")), b'"a"'))
    with bodies.ledger.database.write() as connection:
        connection.execute(update(schema.projections).values(position=3))
    with pytest.raises(LedgerCorrupt, match="llm-ledger rebuild"):
        purge(bodies.ledger.database, bodies.history.clock.now() + timedelta(days=1))
    assert bodies.has(params("a"))


def _before_the_lock(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    """Something happens once, between what a purge found out and its first portion."""
    portion = _Stretch.delete
    left = [action]

    def delete(self: Any, requests: Any) -> Purged:
        if left:
            left.pop()()
        return portion(self, requests)

    monkeypatch.setattr(_Stretch, "delete", delete)

"""Text that databases disagree on: the log keeps every character, and the same rows follow from it everywhere."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from ledger import NewEvent
from ledger import events as e
from ledger.backends import Database
from ledger.errors import InputError
from ledger.rebuild import rebuild
from ledger.store import EventStore
from ledger.verify import verify
from tests.support.clock import NOON, seeded_ids
from tests.support.history import History, Request, usage
from tests.support.ledgers import dump, rows_of

NUL, MARK = "a\0b", "a\ufffdb"
BACKSLASHED = "C:\\u0000 \\\0"
"""A path that only looks like an escape, and a NUL behind a backslash."""

ids = seeded_ids()


def fail(history: History, request: Request, kind: str, message: str) -> None:
    data = e.RequestFailed(error_type=kind, message=message, retryable=False, **request.item)
    history.add(e.request_stream(request.id), data)


def strange_history() -> History:
    """A NUL in whatever a provider or a caller can put into a column of a projection."""
    history = History()
    answered = history.request(NUL, key=NUL, model=NUL, tags={"team": NUL, NUL: "x"})
    failed = history.request("failed")
    abandoned = history.request("abandoned")
    batch = history.plan([answered, failed, abandoned])
    history.start(batch)
    history.add(e.batch_stream(batch.id), e.BatchSubmissionUncertain(reason=NUL, check_at=NOON))
    history.accept(batch)
    history.succeed(answered, usage(10, 20, inference_geo=NUL), model=NUL)
    fail(history, failed, NUL, BACKSLASHED)
    history.add(e.request_stream(abandoned.id), e.RequestAbandoned(reason=NUL, attempts=1))
    history.poll(batch, problem=NUL)
    history.twin(batch)
    history.add(e.batch_stream(batch.id), e.BatchCancelRequested(reason=NUL))
    return history


def test_a_nul_stays_in_the_log_and_is_marked_in_what_follows_from_it(store: EventStore, database: Database) -> None:
    events = strange_history().take()
    store.append(events)
    assert [event.data for event in store.read()] == [event.data for event in events]
    answered, failed, abandoned = rows_of(database, "requests")
    assert (answered["key"], answered["custom_id"], answered["model"]) == (MARK, MARK, MARK)
    assert json.loads(answered["tags"]) == {"team": MARK, MARK: "x"}
    states = {row["seq"]: row for row in rows_of(database, "request_states")}
    assert states[answered["seq"]]["response_model"] == MARK
    said = states[failed["seq"]]["error_type"], states[failed["seq"]]["error_message"]
    assert said == (MARK, "C:\\u0000 \\\ufffd")
    assert states[abandoned["seq"]]["error_message"] == MARK
    assert [row["note"] for row in rows_of(database, "batches") if row["twin_of"] is None] == [MARK]
    assert "\0" not in str([list(row.values()) for rows in dump(database).values() for row in rows]).replace(
        "\\x00", ""
    )


def test_what_follows_from_a_nul_is_the_same_after_a_rebuild(store: EventStore, database: Database) -> None:
    store.append(strange_history().take())
    assert verify(database).problems == ()
    before = dump(database)
    rebuild(database)
    assert dump(database) == before


def config(text: str) -> NewEvent:
    body = e.ConfigChanged(version="1", config=msgspec.Raw(text.encode()))
    return NewEvent("config/a", 1, body, ids.new(), NOON)


@pytest.mark.parametrize("text", ['"\\u0000"', '"\\\\u0000"', '{"b":1e2, "a":"\\ud83d\\ude00"}'])
def test_escapes_are_kept_as_they_were_written(store: EventStore, database: Database, text: str) -> None:
    store.append([config(text)])
    (event,) = store.read()
    assert isinstance(event.data, e.ConfigChanged)
    assert bytes(event.data.config) == text.encode()
    assert verify(database).problems == ()


@pytest.mark.parametrize("text", ['"\\ud800"', '{"a":"\\udfff\\ud83d"}'])
def test_half_a_surrogate_pair_that_is_escaped_is_no_text_either(store: EventStore, text: str) -> None:
    with pytest.raises(InputError, match="config/a: "):
        store.append([config(text)])
    assert store.head().position == 0


def test_half_a_surrogate_pair_is_no_text(store: EventStore) -> None:
    broken: Any = e.ConfigChanged(version="\ud83d", config=msgspec.Raw(b"{}"))
    with pytest.raises(InputError, match="lone surrogate"):
        store.append([NewEvent("config/a", 1, broken, ids.new(), NOON)])
    assert store.head().position == 0

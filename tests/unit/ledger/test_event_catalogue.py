"""Names and shapes of events are for ever: stored ledgers hold them."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ledger import events as e
from ledger.codec import decode_data, encode_data
from ledger.pricing import PriceBook
from tests.support.history import History, prefix

NAMES = """
    request.recorded request.batched request.succeeded cache_usage.recorded request.failed request.expired
    request.canceled request.retry_scheduled request.call_started request.abandoned request.cost_unknown
    batch.planned batch.submission_started batch.submitted batch.submission_refused batch.submission_uncertain
    batch.submission_released batch.polled batch.ended batch.results_collected batch.cancel_requested batch.failed
    batch.duplicate_detected
    price_book.adopted config.changed config.rejected
"""


def test_the_catalogue_is_this() -> None:
    assert set(e.CATALOGUE) == set(NAMES.split())


def test_names_are_dotted_words_and_no_class_paths() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", name) for name in e.CATALOGUE)


def test_every_event_class_is_exported() -> None:
    classes = {cls.__name__ for cls in e.CATALOGUE.values()}
    assert classes <= set(e.__all__)
    assert {name for name in e.__all__ if not hasattr(e, name)} == set()


@pytest.mark.parametrize("cls", e.CATALOGUE.values(), ids=list(e.CATALOGUE))
def test_an_event_is_frozen_and_says_what_it_means(cls: type[e.EventData]) -> None:
    assert cls.__struct_config__.frozen
    assert inspect.getdoc(cls)
    assert cls.SCHEMA_VERSION == 1


def all_kinds() -> list[e.EventData]:
    """One of each, as they happen."""
    history = History()
    one, two, three = (history.request(prefix=prefix("a", "b"), tags={"team": "docs"}) for _ in range(3))
    batch = history.plan([one, two, three])
    history.start(batch)
    history.refuse(batch)
    history.start(batch)
    history.doubt(batch)
    history.release(batch)
    history.start(batch)
    history.accept(batch)
    history.poll(batch)
    history.ask_to_cancel(batch)
    history.end(batch)
    history.succeed(one)
    history.fail(two)
    history.retry(two)
    history.call(two)
    history.abandon(two)
    history.expire(three)
    history.cancel(three)
    history.cost_unknown(three)
    history.collected(batch)
    history.fail_batch(batch)
    history.twin(batch)
    history.adopt(PriceBook.packaged())
    history.configure()
    history.add("config/default", e.ConfigRejected(problems=("no",)))
    return [event.data for event in history.take()]


ALL = all_kinds()


def test_the_examples_are_of_every_kind() -> None:
    assert {data.TYPE for data in ALL} == set(e.CATALOGUE)


@pytest.mark.parametrize("data", ALL, ids=[data.TYPE for data in ALL])
def test_a_body_comes_back_as_it_was(data: e.EventData) -> None:
    back = decode_data(data.TYPE, 1, encode_data(data))
    assert type(back) is type(data)
    assert encode_data(back) == encode_data(data)
    assert all(_same(getattr(back, name), getattr(data, name)) for name in data.__struct_fields__)


def _same(one: Any, other: Any) -> bool:
    return bytes(one) == bytes(other) if isinstance(one, msgspec.Raw) else bool(one == other)


def test_the_oldest_bodies_are_still_read() -> None:
    """Written down by hand when version 1 was new: fields may only be added, with defaults."""
    recorded = decode_data(
        "request.recorded",
        1,
        b'{"key":"k","custom_id":"c","provider":"anthropic","model":"m","mode":"batch","api_version":"2026-10-21",'
        b'"params_hash":"00","payload":null,"size":1,"max_tokens":2,"estimated_input_tokens":3}',
    )
    assert isinstance(recorded, e.RequestRecorded)
    assert (recorded.betas, recorded.tags, recorded.markers, recorded.prefix) == ((), {}, 0, ())
    used = decode_data(
        "cache_usage.recorded",
        1,
        b'{"role":"result","provider":"anthropic","model":"m","processing":"batch",'
        b'"billed_at":"2026-11-22T12:00:00Z","usage":{"input_tokens":1}}',
    )
    assert isinstance(used, e.CacheUsageRecorded)
    assert used.billed_at == datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert (bytes(used.usage), used.batch_id) == (b'{"input_tokens":1}', None)


def test_streams_are_named_by_kind_and_id() -> None:
    assert e.request_stream("1") == "request/1"
    assert e.batch_stream("1") == "batch/1"
    assert e.prices_stream("anthropic") == "prices/anthropic"

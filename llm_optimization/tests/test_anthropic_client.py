"""The plain anthropic client, optimised: what it records is the provider's own bill, however it is called."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from inspect import isawaitable
from itertools import count
from typing import Any, Final

import anthropic
import pytest

from ledger import Ledger, shared_writer
from ledger.queries import requests
from ledger.savings import Period
from ledger.summary import savings
from llm_ledger.simulator import RunningSimulator
from llm_optimization import OptimizationConfig, optimize_client
from llm_optimization.recording import recorder_for

Json = dict[str, Any]

MODEL = "claude-sonnet-5-5"
SHORT = "How many?"
LONG = "You are a careful tutor who answers in one short sentence. " * 400

_names = count()


def asked(question: str = SHORT, **fields: Any) -> Json:
    return {"model": MODEL, "max_tokens": 60, "messages": [{"role": "user", "content": question}], **fields}


class Story:
    """A provider's account that only one test uses, and what the ledger has of that test's calls."""

    def __init__(self, simulator: RunningSimulator, shared: anthropic.Anthropic) -> None:
        self.simulator = simulator
        self.name = f"story-{next(_names)}"
        self._shared = shared

    def client(self, **options: Any) -> Any:
        """The bare client. It shares its connections with those of other stories, so leave it open."""
        return self._shared.with_options(**{"api_key": self.name, **options})

    def optimized(self, max_retries: int = 0, **overrides: Any) -> Any:
        return self.optimize(self.client(max_retries=max_retries), **overrides)

    def on_a_loop(self, **overrides: Any) -> Any:
        """An optimised client for this test's event loop. Close it."""
        url = self.simulator.base_url
        return self.optimize(anthropic.AsyncAnthropic(api_key=self.name, base_url=url, max_retries=0), **overrides)

    def optimize(self, client: Any, **overrides: Any) -> Any:
        return optimize_client(client, **{"caching_enabled": True, "tags": {"story": self.name}, **overrides})

    def report(self) -> Json:
        assert recorder_for(OptimizationConfig()).flush(10)
        with Ledger.open() as ledger:
            groups = savings(ledger, Period(), "tag:story")["groups"]
        return next((group for group in groups if group["name"] == self.name), NOTHING)

    def ends(self) -> dict[str, int]:
        """How the recorded requests ended, without what there is none of."""
        return {name: number for name, number in self.report()["requests"].items() if number}

    def statuses(self) -> list[str]:
        """Those of the recorded requests, in their order. Waits for nothing."""
        with Ledger.open() as ledger:
            return [row.status for row in requests(ledger) if f'"{self.name}"' in row.tags]

    def cost(self) -> Decimal:
        return Decimal(self.report()["cost"]["actual"])

    def bill(self) -> Decimal:
        account = self.simulator.bill()["accounts"].get(self.simulator.account(self.name))
        return Decimal(account["total"]) if account else Decimal(0)


NOTHING: Json = {"requests": {}, "cost": {"actual": "0"}}


@pytest.fixture(scope="module")
def _shared(simulator: RunningSimulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="key", base_url=simulator.base_url) as client:
        yield client
    shared_writer().close()


@pytest.fixture
def story(simulator: RunningSimulator, _shared: anthropic.Anthropic) -> Iterator[Story]:
    yield Story(simulator, _shared)
    simulator.clear_faults()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK does not wait between its attempts."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


# --- every way to create a message --------------------------------------------------------------------------------


def create(client: Any, **params: Any) -> Any:
    return client.messages.create(**params)


def create_stream(client: Any, **params: Any) -> Any:
    return [event.type for event in client.messages.create(stream=True, **params)]


def stream(client: Any, **params: Any) -> Any:
    with client.messages.stream(**params) as events:
        return events.get_final_message()


def beta(client: Any, **params: Any) -> Any:
    return client.beta.messages.create(betas=["context-management-2025-06-27"], **params)


def beta_stream(client: Any, **params: Any) -> Any:
    return list(client.beta.messages.create(stream=True, **params))


def raw(client: Any, **params: Any) -> Any:
    return client.messages.with_raw_response.create(**params).parse()


def raw_stream(client: Any, **params: Any) -> Any:
    return list(client.messages.with_raw_response.create(stream=True, **params).parse())


def streaming_response(client: Any, **params: Any) -> Any:
    with client.messages.with_streaming_response.create(**params) as response:
        return response.parse()


async def acreate(client: Any, **params: Any) -> Any:
    return await client.messages.create(**params)


async def acreate_stream(client: Any, **params: Any) -> Any:
    return [event.type async for event in await client.messages.create(stream=True, **params)]


async def astream(client: Any, **params: Any) -> Any:
    async with client.messages.stream(**params) as events:
        return await events.get_final_message()


async def araw(client: Any, **params: Any) -> Any:
    parsed = (await client.messages.with_raw_response.create(**params)).parse()
    return await parsed if isawaitable(parsed) else parsed  # older SDKs parse at once


async def astreaming_response(client: Any, **params: Any) -> Any:
    async with client.messages.with_streaming_response.create(**params) as response:
        return await response.parse()


@pytest.mark.parametrize(
    "ask", [create, create_stream, stream, beta, beta_stream, raw, raw_stream, streaming_response]
)
def test_costs_equal_the_bill_and_the_second_request_reads_the_cache(story: Story, ask: Callable[..., Any]) -> None:
    client = story.optimized()
    for question in ("One?", "Two?"):
        assert ask(client, **asked(question, system=LONG))
    report = story.report()
    assert Decimal(report["cost"]["actual"]) == story.bill() > 0
    assert report["requests"]["succeeded"] == 2
    assert report["tokens"]["cache_read"] > 5_000


@pytest.mark.parametrize("ask", [acreate, acreate_stream, astream, araw, astreaming_response])
async def test_the_same_on_an_event_loop(story: Story, ask: Callable[..., Any]) -> None:
    async with story.on_a_loop() as client:
        for question in ("One?", "Two?"):
            assert await ask(client, **asked(question, system=LONG))
    report = story.report()
    assert Decimal(report["cost"]["actual"]) == story.bill() > 0
    assert report["requests"]["succeeded"] == 2
    assert report["tokens"]["cache_read"] > 5_000


def test_many_threads_share_a_client(story: Story) -> None:
    client = story.optimized()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: client.messages.create(**asked(f"Question {n}?", system=LONG)), range(40)))
    assert story.ends() == {"total": 40, "succeeded": 40}
    assert story.cost() == story.bill()


async def test_many_tasks_share_a_client(story: Story) -> None:
    async with story.on_a_loop() as client:
        await asyncio.gather(*(client.messages.create(**asked(f"Question {n}?")) for n in range(20)))
    assert story.ends() == {"total": 20, "succeeded": 20}
    assert story.cost() == story.bill()


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
def test_a_reply_lost_before_a_retry_is_told_as_cost_unknown(story: Story) -> None:
    story.simulator.fault(endpoint="messages", kind="drop_after")
    assert story.optimized(max_retries=1).messages.create(**asked()).content
    assert story.ends() == {"total": 2, "succeeded": 1, "failed": 1, "cost_unknown": 1}
    assert story.bill() == 2 * story.cost() > 0


@pytest.mark.parametrize(
    ("fault", "error", "ends"),
    [
        ({"kind": "status", "status": 429}, anthropic.RateLimitError, {"failed": 1}),
        ({"kind": "status", "status": 400}, anthropic.BadRequestError, {"failed": 1}),
        ({"kind": "status", "status": 500, "commit": True}, anthropic.APIError, {"failed": 1, "cost_unknown": 1}),
        ({"kind": "drop_after"}, anthropic.APIConnectionError, {"failed": 1, "cost_unknown": 1}),
        ({"kind": "truncate", "after_bytes": 100}, Exception, {"failed": 1, "cost_unknown": 1}),
        ({"kind": "malformed", "body": "half"}, Exception, {"failed": 1, "cost_unknown": 1}),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else None,
)
@pytest.mark.parametrize("ask", [create, create_stream])
def test_an_attempt_that_fails(
    story: Story, fault: Json, error: type[Exception], ends: Json, ask: Callable[..., Any]
) -> None:
    story.simulator.fault(endpoint="messages", **fault)
    # A truncated or malformed stream may read as one that has ended.
    with _raises(error, unless=ask is create_stream):
        ask(story.optimized(), **asked())
    assert story.ends() == {"total": 1, **ends}
    assert story.cost() == 0


class _raises:
    def __init__(self, error: type[Exception], *, unless: bool) -> None:
        self._error, self._unless = error, unless

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        assert self._unless if kind is None else issubclass(kind, self._error)
        return True


async def test_a_call_that_is_cancelled_may_cost_something(story: Story) -> None:
    story.simulator.fault(endpoint="messages", kind="hang", commit=True)
    async with story.on_a_loop(recording="sync") as client:
        task = asyncio.create_task(client.messages.create(**asked()))
        while not story.bill():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert story.ends() == {"total": 1, "failed": 1, "cost_unknown": 1}


def test_a_provider_that_was_not_reached_costs_nothing(story: Story) -> None:
    client = story.optimized().with_options(base_url="http://127.0.0.1:9")
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**asked())
    assert story.ends() == {"total": 1, "failed": 1}


def test_a_stream_that_is_left_early_may_cost_anything(story: Story) -> None:
    client = story.optimized()
    with client.messages.create(stream=True, **asked()) as events:
        assert next(iter(events)).type == "message_start"
    assert story.ends() == {"total": 1, "failed": 1, "cost_unknown": 1}
    forgotten = client.messages.create(stream=True, **asked())
    del forgotten, events
    gc.collect()
    assert story.ends() == {"total": 2, "failed": 2, "cost_unknown": 2}


def test_a_stream_that_is_left_after_its_last_news_costs_what_it_says(story: Story) -> None:
    with story.optimized().messages.create(stream=True, **asked()) as events:
        for event in events:
            if event.type == "message_delta":
                break
    assert story.ends() == {"total": 1, "succeeded": 1}
    assert story.cost() == story.bill() > 0


# --- what goes over the wire --------------------------------------------------------------------------------------


def http_library() -> Any:
    """`httpx2` or `httpx`: what the installed SDK takes clients of."""
    from scheduler.providers.anthropic.connection import http_library

    return http_library()


class Wire:
    """A provider in one function: keeps what was sent, and answers a small message unless `answer` is set."""

    MESSAGE: Final = {"type": "message", "role": "assistant", "id": "msg_1", "model": MODEL, "stop_reason": "end_turn",
               "stop_sequence": None, "content": [{"type": "text", "text": "7"}],
               "usage": {"input_tokens": 10, "output_tokens": 5}}  # fmt: skip

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.answer: Callable[[Any], Any] = lambda request: http_library().Response(200, json=self.MESSAGE)

    def handle(self, request: Any) -> Any:
        request.read()
        self.sent.append(request)
        return self.answer(request)

    @property
    def bodies(self) -> list[Json]:
        return [json.loads(request.content) for request in self.sent]

    def client(self, **options: Any) -> anthropic.Anthropic:
        library = http_library()
        http_client = library.Client(transport=library.MockTransport(self.handle))
        return anthropic.Anthropic(
            **{"api_key": "key", "base_url": "http://provider", "max_retries": 0, **options}, http_client=http_client
        )


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_what_is_not_marked_travels_byte_for_byte(story: Story, wire: Wire) -> None:
    odd = asked("Ünïcode 😀 [\u2028]", model="claude-haiku-4-5", extra_body={"metadata": {"user_id": "x"}})
    bare = wire.client(default_headers={"x-mine": "1"})
    for client in (bare, story.optimize(bare)):
        client.messages.create(**odd)
    expected, got = wire.sent
    assert got.content == expected.content
    assert sorted(got.headers.raw) == sorted(expected.headers.raw)
    assert got.url == expected.url


def test_what_is_marked_changes_by_its_markers_alone(story: Story, wire: Wire) -> None:
    bare = wire.client()
    for client in (bare, story.optimize(bare, cache_ttl=3_600)):
        client.messages.create(**asked("Ünïcode?", system=LONG, model="claude-opus-5"))
    expected, got = wire.sent
    marker = {"type": "ephemeral", "ttl": "1h"}
    body = json.loads(got.content)
    assert body["system"] == [{"type": "text", "text": LONG, "cache_control": marker}]
    unmarked = json.dumps(body).replace(f', "cache_control": {json.dumps(marker)}', "")
    assert {**json.loads(unmarked), "system": LONG, **asked("Ünïcode?", model="")} == {
        **json.loads(expected.content), "model": ""
    }  # fmt: skip
    assert got.headers["content-length"] == str(len(got.content))
    assert {**got.headers, "content-length": ""} == {**expected.headers, "content-length": ""}


def test_a_call_names_its_own_key_and_tags(story: Story, wire: Wire) -> None:
    client = story.optimize(wire.client(), recording="sync", key="app", tags={"app": story.name, "team": "none"})
    labels = {"x-llm-ledger-tags": "team=search, city=M%C3%BCnchen,odd", "x-llm-ledger-key": "nightly"}
    client.messages.create(**asked(), extra_headers=labels)
    client.messages.create(**asked())
    with Ledger.open() as ledger:
        first, second = (row for row in requests(ledger) if story.name in row.tags)
    assert (first.key, second.key) == ("nightly", "app")
    assert json.loads(first.tags) == {"app": story.name, "team": "search", "city": "München"}
    assert json.loads(second.tags) == {"app": story.name, "team": "none"}
    assert not [name for request in wire.sent for name in request.headers if name.startswith("x-llm-ledger")]


def test_labels_are_taken_off_every_request(wire: Wire) -> None:
    client = optimize_client(wire.client(default_headers={"x-llm-ledger-tags": "team=search"}))
    wire.answer = lambda request: http_library().Response(200, json={"input_tokens": 7})
    assert client.messages.count_tokens(model=MODEL, messages=asked()["messages"]).input_tokens == 7
    assert "x-llm-ledger-tags" not in wire.sent[0].headers


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("told_in_events", [False, True])
def test_a_compressed_answer_is_read(story: Story, wire: Wire, encoding: str, told_in_events: bool) -> None:
    wire.answer = lambda request: _compressed(encoding, _events() if told_in_events else json.dumps(wire.MESSAGE))
    client = story.optimize(wire.client())
    answer = create_stream(client, **asked()) if told_in_events else create(client, **asked()).content[0].text
    assert answer == (["message_start", "message_delta", "message_stop"] if told_in_events else "7")
    report = story.report()
    assert (report["tokens"]["uncached_input"], report["tokens"]["output"]) == (10, 5)


def _events() -> str:
    start = {"type": "message_start", "message": {**Wire.MESSAGE, "stop_reason": None, "content": [],
             "usage": {"input_tokens": 10, "output_tokens": 1}}}  # fmt: skip
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
             "usage": {"output_tokens": 5, "input_tokens": None}}  # fmt: skip
    told = (start, delta, {"type": "message_stop"})
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in told)


def _compressed(encoding: str, text: str) -> Any:
    import gzip
    import zlib

    kind = "text/event-stream" if text.startswith("event") else "application/json"
    content = (gzip.compress if encoding == "gzip" else zlib.compress)(text.encode())
    headers = {"content-type": kind, "content-encoding": encoding}
    library = http_library()

    class Pieces(library.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from (content[begin : begin + 20] for begin in range(0, len(content), 20))

    return library.Response(200, headers=headers, stream=Pieces())


def test_events_are_passed_on_as_they_arrive(wire: Wire) -> None:
    library = http_library()
    arrived: list[str] = []

    class Slowly(library.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for event in _events().split("\n\n")[:-1]:
                arrived.append(event)
                yield f"{event}\n\n".encode()

    headers = {"content-type": "text/event-stream"}
    wire.answer = lambda request: library.Response(200, headers=headers, stream=Slowly())
    seen = [len(arrived) for _ in optimize_client(wire.client()).messages.create(stream=True, **asked())]
    assert seen == [1, 2, 3]


def test_refused_markers_are_left_out_of_a_second_attempt(story: Story, wire: Wire) -> None:
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": "cache_control: not here"}}

    def answer(request: Any) -> Any:
        marked = b"cache_control" in request.content
        return http_library().Response(400 if marked else 200, json=refusal if marked else wire.MESSAGE)

    wire.answer = answer
    client = story.optimize(wire.client(), recording="sync")
    assert client.messages.create(**asked(system=LONG)).content[0].text == "7"
    assert [type(body["system"]) for body in wire.bodies] == [list, str]
    assert story.statuses() == ["errored", "succeeded"]


# --- sampling -----------------------------------------------------------------------------------------------------


def test_sampling_travels_under_the_version_that_takes_it(story: Story) -> None:
    client = story.optimized()
    assert client.messages.create(**asked(model="claude-sonnet-4-6", extra_body={"temperature": 0.2})).content
    assert story.ends() == {"total": 1, "succeeded": 1}


def test_sampling_that_no_version_takes_is_left_out(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    client = story.optimized()
    assert client.messages.create(
        **asked(model="claude-opus-5", extra_body={"temperature": 0.2, "top_p": None})
    ).content
    assert "claude-opus-5 takes no sampling parameters" in caplog.text
    assert story.cost() == story.bill() > 0


# --- errors of ours -----------------------------------------------------------------------------------------------


def test_an_error_of_ours_is_nobodys_but_the_logs(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("said once")

    monkeypatch.setattr("llm_optimization.wrapping.mishaps._said", set())
    monkeypatch.setattr("llm_optimization.cache_manager.CacheManager.mark_params", broken)
    client = optimize_client(wire.client(), caching_enabled=True)
    for _ in range(2):
        assert client.messages.create(**asked(system=LONG)).content[0].text == "7"
    assert wire.bodies[0]["system"] == LONG
    assert caplog.text.count("a request cannot be read") == 1


def test_a_ledger_that_cannot_be_is_in_nobodys_way(wire: Wire) -> None:
    client = optimize_client(wire.client(), database_url="sqlite:////dev/null/no/ledger.db", recording="sync")
    assert client.messages.create(**asked()).content[0].text == "7"


# --- the client ---------------------------------------------------------------------------------------------------


def test_a_client_keeps_its_class_and_settings(wire: Wire) -> None:
    class Mine(anthropic.Anthropic):
        pass

    library = http_library()
    http_client = library.Client(transport=library.MockTransport(wire.handle))
    given = Mine(
        api_key="key", base_url="http://elsewhere/prefix", timeout=7.5, max_retries=5, http_client=http_client,
        default_headers={"x-mine": "1"}, default_query={"q": "2"},
    )  # fmt: skip
    client = optimize_client(given)
    assert client is not given
    assert type(client) is Mine
    for name in ("api_key", "base_url", "timeout", "max_retries", "default_headers", "default_query"):
        assert getattr(client, name) == getattr(given, name)
    client.messages.create(**asked())
    assert str(wire.sent[0].url) == "http://elsewhere/prefix/v1/messages?q=2"
    client.close()
    assert given.is_closed()
    assert client.is_closed()


async def test_closing_an_async_client_closes_the_given_one() -> None:
    given = anthropic.AsyncAnthropic(api_key="key")
    async with optimize_client(given) as client:
        assert not client.is_closed()
    assert given.is_closed()


def test_copies_are_recorded_and_nothing_twice(story: Story) -> None:
    client = story.optimize(story.optimized())
    client.with_options(timeout=20).messages.create(**asked())
    assert story.ends() == {"total": 1, "succeeded": 1}


def test_recording_before_the_answer(story: Story) -> None:
    story.optimized(recording="sync").messages.create(**asked())
    assert story.statuses() == ["succeeded"]


def test_marking_alone(story: Story) -> None:
    client = story.optimized(recording="off")
    for question in ("One?", "Two?"):
        usage = client.messages.create(**asked(question, system=LONG)).usage
    assert usage.cache_read_input_tokens > 5_000
    assert story.ends() == {}


def test_batches_and_models_pass_unrecorded(story: Story) -> None:
    item: Any = {"custom_id": "a", "params": asked(system=LONG)}
    client = story.optimized()
    assert client.messages.batches.create(requests=[item]).request_counts.processing >= 0
    assert client.models.list().data
    assert client.messages.count_tokens(model=MODEL, messages=asked()["messages"]).input_tokens
    assert story.ends() == {}


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"cachingEnabled": True},
        {"configuration": {"optimizationEnabled": False, "cachingEnabled": True}},
        OptimizationConfig(caching_enabled=True),
        {"optimizationEnabled": True, "recording": "off"},
    ],
)
def test_where_optimisation_is_off_the_client_is_the_same(configuration: Any) -> None:
    with anthropic.Anthropic(api_key="key") as client:
        assert optimize_client(client, configuration) is client


def test_overrides_are_the_wish_but_for_an_explicit_no() -> None:
    with anthropic.Anthropic(api_key="key") as client:
        assert optimize_client(client) is not client
        assert optimize_client(client, {"cacheTTL": 300}, caching_enabled=True) is not client
        assert optimize_client(client, {"optimizationEnabled": False}, caching_enabled=True) is client
        assert optimize_client(client, optimization_enabled=False) is client
        with pytest.raises(TypeError, match="no setting caching"):
            optimize_client(client, caching=True)


def test_what_cannot_be_optimised_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with anthropic.AnthropicFoundry(api_key="key", base_url="http://elsewhere") as foundry:
        for client, name in ((foundry, "AnthropicFoundry"), (object(), "object"), (threading, "module")):
            caplog.clear()
            assert optimize_client(client) is client
            assert f"{name} cannot be wrapped" in caplog.text
    caplog.clear()
    with anthropic.Anthropic(api_key="key") as client:
        assert optimize_client(client, {"optimizationEnabled": True, "cacheTTL": "forever"}) is client
    assert "cacheTTL" in caplog.text

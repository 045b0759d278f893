"""The plain anthropic client, optimised: what it records is the provider's own bill, however it is called."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import threading
import zlib
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
from scheduler.providers.anthropic import connection

Json = dict[str, Any]

MODEL = "claude-sonnet-5-5"
SHORT = "How many?"
ODD = {"type": "text", "text": "Ünïcode 😀 [\u2028] \\ \x7f"}
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


def http_library() -> Any:
    """`httpx2` or `httpx`: what the installed SDK takes clients of."""
    return connection.http_library()


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


@pytest.mark.parametrize("ask", [create, create_stream])
@pytest.mark.parametrize(
    ("fault", "ends"),
    [
        ({"kind": "status", "status": 429}, {"failed": 1}),
        ({"kind": "status", "status": 400}, {"failed": 1}),
        ({"kind": "status", "status": 500, "commit": True}, {"failed": 1, "cost_unknown": 1}),
        ({"kind": "drop_after"}, {"failed": 1, "cost_unknown": 1}),
        ({"kind": "truncate", "after_bytes": 100}, {"failed": 1, "cost_unknown": 1}),
    ],
    ids=lambda value: str(value.get("status", value.get("kind", ""))),
)
def test_an_attempt_that_fails(story: Story, ask: Callable[..., Any], fault: Json, ends: Json) -> None:
    story.simulator.fault(endpoint="messages", **fault)
    with pytest.raises((anthropic.APIError, http_library().RemoteProtocolError)):
        ask(story.optimized(), **asked())
    assert story.ends() == {"total": 1, **ends}
    assert story.cost() == 0


def test_a_stream_that_ends_in_silence_may_cost_anything(story: Story) -> None:
    story.simulator.fault(endpoint="messages", kind="malformed", body="half")
    assert "message_stop" not in create_stream(story.optimized(), **asked())
    assert story.ends() == {"total": 1, "failed": 1, "cost_unknown": 1}


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


@pytest.mark.parametrize("ask", [acreate, acreate_stream])
@pytest.mark.parametrize(
    ("fault", "ends"),
    [
        ({"kind": "status", "status": 529}, {"failed": 1}),
        ({"kind": "drop_after"}, {"failed": 1, "cost_unknown": 1}),
        ({"kind": "truncate", "after_bytes": 100}, {"failed": 1, "cost_unknown": 1}),
    ],
    ids=lambda value: str(value.get("kind", "")),
)
async def test_an_attempt_that_fails_on_an_event_loop(
    story: Story, ask: Callable[..., Any], fault: Json, ends: Json
) -> None:
    story.simulator.fault(endpoint="messages", **fault)
    async with story.on_a_loop() as client:
        with pytest.raises((anthropic.APIError, http_library().RemoteProtocolError)):
            await ask(client, **asked())
    assert story.ends() == {"total": 1, **ends}


async def test_a_stream_that_is_left_early_on_an_event_loop_may_cost_anything(story: Story) -> None:
    async with story.on_a_loop() as client:
        events = await client.messages.create(stream=True, **asked())
        assert (await anext(aiter(events))).type == "message_start"
        await events.close()
        assert story.ends() == {"total": 1, "failed": 1, "cost_unknown": 1}
        del events


async def test_a_stream_whose_reader_is_cancelled_may_cost_anything(story: Story) -> None:
    story.simulator.fault(endpoint="messages", kind="slow", piece_bytes=900, delay_seconds=30)
    begun = asyncio.Event()

    async def read(client: Any) -> None:
        async for _ in await client.messages.create(stream=True, **asked()):
            begun.set()

    async with story.on_a_loop() as client:
        reading = asyncio.create_task(read(client))
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert story.ends() == {"total": 1, "failed": 1, "cost_unknown": 1}


def test_a_provider_that_was_not_reached_costs_nothing(story: Story) -> None:
    client = story.optimized().with_options(base_url="http://127.0.0.1:9")
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**asked())
    assert story.ends() == {"total": 1, "failed": 1}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("options", [{"base_url": "localhost:1"}, {"api_key": "key\n"}])
def test_a_request_that_cannot_be_sent_costs_nothing(story: Story, options: Json) -> None:
    given = {"api_key": story.name, "base_url": story.simulator.base_url, **options}
    client = anthropic.Anthropic(max_retries=2, **given)
    with story.optimize(client) as optimized, pytest.raises(anthropic.APIConnectionError):
        optimized.messages.create(**asked())
    assert story.ends() == {"total": 3, "failed": 3}
    assert story.bill() == 0


async def test_a_key_that_cannot_be_sent_on_an_event_loop_costs_nothing(story: Story) -> None:
    async with story.on_a_loop() as client:
        with pytest.raises(anthropic.APIConnectionError):
            await client.with_options(api_key="key\n").messages.create(**asked())
    assert story.ends() == {"total": 1, "failed": 1}


def second(first: Any, ask: Callable[..., Any], client: Any) -> Any:
    try:
        return first.messages.create(**asked())
    except anthropic.APIConnectionError:
        return ask(client, **asked())


async def asecond(first: Any, ask: Callable[..., Any], client: Any) -> Any:
    try:
        return await first.messages.create(**asked())
    except anthropic.APIConnectionError:
        return await ask(client, **asked())


@pytest.mark.parametrize("ask", [create, create_stream, stream])
def test_an_answer_lost_by_a_second_provider_may_cost_anything(story: Story, ask: Callable[..., Any]) -> None:
    story.simulator.fault(endpoint="messages", kind="drop_after")
    client = story.optimized()
    with pytest.raises(anthropic.APIConnectionError):
        second(client.with_options(base_url="http://127.0.0.1:9"), ask, client)
    assert story.ends() == {"total": 2, "failed": 2, "cost_unknown": 1}
    assert story.bill() > 0


@pytest.mark.parametrize("ask", [acreate, acreate_stream, astream])
async def test_the_same_of_a_second_provider_on_an_event_loop(story: Story, ask: Callable[..., Any]) -> None:
    story.simulator.fault(endpoint="messages", kind="drop_after")
    async with story.on_a_loop() as client:
        with pytest.raises(anthropic.APIConnectionError):
            await asecond(client.with_options(base_url="http://127.0.0.1:9"), ask, client)
    assert story.ends() == {"total": 2, "failed": 2, "cost_unknown": 1}
    assert story.bill() > 0


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


class Wire:
    """A provider in one function: keeps what was sent, and answers a small message unless `answer` is set."""

    MESSAGE: Final = {
        "type": "message",
        "role": "assistant",
        "id": "msg_1",
        "model": MODEL,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "content": [{"type": "text", "text": "7"}],
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }

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

    @classmethod
    def refuse_markers(cls, request: Any) -> Any:
        if b"cache_control" in request.content:
            return _error(400, "messages.0.cache_control: not here")
        return http_library().Response(200, json=cls.MESSAGE)

    def http_client(self, **options: Any) -> Any:
        library = http_library()
        return library.Client(transport=library.MockTransport(self.handle), **options)

    def client(self, **options: Any) -> anthropic.Anthropic:
        return anthropic.Anthropic(
            **{"api_key": "key", "base_url": "http://provider", "max_retries": 0, **options},
            http_client=self.http_client(),
        )

    def async_client(self) -> anthropic.AsyncAnthropic:
        library = http_library()
        http_client = library.AsyncClient(transport=library.MockTransport(self.handle))
        return anthropic.AsyncAnthropic(api_key="key", http_client=http_client, max_retries=0)


def _error(status: int, message: str) -> Any:
    error = {"type": "invalid_request_error", "message": message}
    return http_library().Response(status, json={"type": "error", "error": error})


def _stream(*pieces: bytes, **headers: str) -> Any:
    library = http_library()

    class Pieces(library.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from pieces

    return library.Response(200, headers={"content-type": "text/event-stream", **headers}, stream=Pieces())


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_what_is_not_marked_travels_byte_for_byte(story: Story, wire: Wire) -> None:
    params = asked(model="claude-haiku-4-5", messages=[{"role": "user", "content": [ODD]}], extra_body={"n": 1.50})
    bare = wire.client(default_headers={"x-mine": "1"})
    for client in (bare, story.optimize(bare)):
        client.messages.create(**params)
    expected, got = wire.sent
    assert got.content == expected.content
    assert sorted(got.headers.raw) == sorted(expected.headers.raw)
    assert got.url == expected.url


def test_what_is_marked_changes_by_its_markers_alone(story: Story, wire: Wire) -> None:
    params = asked(system=[{"type": "text", "text": LONG}], messages=[{"role": "user", "content": [ODD]}])
    bare = wire.client()
    for client in (bare, story.optimize(bare, cache_ttl=3_600)):
        client.messages.create(**params)
    expected, got = wire.sent
    marked, plain = json.loads(got.content), json.loads(expected.content)
    assert marked["system"][0].pop("cache_control") == {"type": "ephemeral", "ttl": "1h"}
    marked["messages"][0]["content"][0].pop("cache_control", None)
    assert json.dumps(marked) == json.dumps(plain)
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


def test_an_answer_that_cannot_be_unpacked_may_cost_anything(story: Story, wire: Wire) -> None:
    wire.answer = lambda request: _stream(b"no gzip", **{"content-encoding": "gzip"})
    with pytest.raises(http_library().DecodingError):
        create_stream(story.optimize(wire.client()), **asked())
    assert story.ends() == {"total": 1, "failed": 1, "cost_unknown": 1}


def test_half_a_character_hides_no_usage(story: Story, wire: Wire) -> None:
    body = json.dumps({**wire.MESSAGE, "content": [{"type": "text", "text": "a \ud83d"}]}).encode()
    wire.answer = lambda request: http_library().Response(200, content=body)
    assert story.optimize(wire.client()).messages.create(**asked()).content[0].text == "a \ud83d"
    assert story.ends() == {"total": 1, "succeeded": 1}
    assert story.report()["tokens"]["output"] == 5


@pytest.mark.parametrize("field", ["id", "model"])
def test_half_a_character_is_kept_out_of_the_ledger(story: Story, wire: Wire, field: str) -> None:
    body = json.dumps({**wire.MESSAGE, field: "a \ud83d"}).encode()
    wire.answer = lambda request: http_library().Response(200, content=body)
    assert story.optimize(wire.client()).messages.create(**asked())
    assert story.ends() == {"total": 1, "failed": 1, "cost_unknown": 1}


@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_too_deep_to_be_read_is_passed_on(story: Story, wire: Wire, status: int) -> None:
    deep = b"[" * 5_000 + b"]" * 5_000
    wire.answer = lambda request: http_library().Response(status, content=b'{"content": %s}' % deep)
    client = story.optimize(wire.client(max_retries=2))
    raw = client.messages.with_raw_response
    if status == 200:
        assert deep in raw.create(**asked(system=LONG)).http_response.content
    else:
        with pytest.raises((anthropic.BadRequestError, RecursionError)):
            raw.create(**asked(system=LONG))
    assert len(wire.sent) == 1
    assert story.ends() == {"total": 1, "failed": 1} | ({"cost_unknown": 1} if status == 200 else {})


def _events() -> str:
    start = {"type": "message_start", "message": {**Wire.MESSAGE, "stop_reason": None, "content": [],
             "usage": {"input_tokens": 10, "output_tokens": 1}}}  # fmt: skip
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
             "usage": {"output_tokens": 5, "input_tokens": None}}  # fmt: skip
    told = (start, delta, {"type": "message_stop"})
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in told)


def _compressed(encoding: str, text: str) -> Any:
    content = (gzip.compress if encoding == "gzip" else zlib.compress)(text.encode())
    kind = "text/event-stream" if text.startswith("event") else "application/json"
    pieces = [content[begin : begin + 20] for begin in range(0, len(content), 20)]
    return _stream(*pieces, **{"content-type": kind, "content-encoding": encoding})


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
    wire.answer = Wire.refuse_markers
    client = story.optimize(wire.client(), recording="sync")
    assert client.messages.create(**asked(system=LONG)).content[0].text == "7"
    assert [type(body["system"]) for body in wire.bodies] == [list, str]
    assert story.statuses() == ["errored", "succeeded"]


async def test_refused_markers_are_left_out_on_an_event_loop_as_well(story: Story, wire: Wire) -> None:
    wire.answer = Wire.refuse_markers
    async with story.optimize(wire.async_client(), recording="sync") as client:
        assert (await client.messages.create(**asked(system=LONG))).content[0].text == "7"
    assert story.statuses() == ["errored", "succeeded"]


def test_another_refusal_of_a_marked_request_is_the_callers(story: Story, wire: Wire) -> None:
    wire.answer = lambda request: _error(400, "max_tokens: too many")
    with pytest.raises(anthropic.BadRequestError, match="too many"):
        story.optimize(wire.client(), recording="sync").messages.create(**asked(system=LONG))
    assert story.statuses() == ["errored"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_a_hook_has_read_is_recorded(story: Story, wire: Wire, stream: bool) -> None:
    http_client = wire.http_client(event_hooks={"response": [lambda response: response.read()]})
    client = story.optimize(anthropic.Anthropic(api_key="key", http_client=http_client), recording="sync")
    client.messages.create(**asked(), stream=stream)
    assert story.statuses() == ["succeeded"]


async def test_an_answer_that_an_async_hook_has_read_is_recorded(story: Story, wire: Wire) -> None:
    async with story.optimize(wire.async_client(), recording="sync") as client:
        await client.messages.create(**asked())
    assert story.statuses() == ["succeeded"]


def test_a_stream_that_tells_an_error_may_cost_anything(story: Story, wire: Wire) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Later"}}
    told = _events().split("event: message_delta")[0] + f"event: error\ndata: {json.dumps(error)}\n\n"
    wire.answer = lambda request: _stream(told.encode())
    client = story.optimize(wire.client(), recording="sync")
    with pytest.raises(anthropic.APIStatusError, match="Later"):
        create_stream(client, **asked())
    gc.collect()  # older SDKs leave such a stream open
    assert story.ends() == {"total": 1, "failed": 1, "cost_unknown": 1}


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


@pytest.mark.parametrize("broken", ["EventReader.feed", "EventReader.outcome", "MessageReader.feed"])
def test_an_answer_that_we_cannot_read_is_passed_on(
    story: Story, wire: Wire, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(f"llm_optimization.client_transport.answers.{broken}", fail)
    client = story.optimize(wire.client(max_retries=2))
    if broken.startswith("Event"):
        wire.answer = lambda request: _stream(_events().encode())
        assert create_stream(client, **asked()) == ["message_start", "message_delta", "message_stop"]
    else:
        assert create(client, **asked()).content[0].text == "7"
    assert len(wire.sent) == 1
    assert story.ends() == {"total": 1, "failed": 1, "cost_unknown": 1}


def test_a_record_that_cannot_be_made_is_in_nobodys_way(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("llm_optimization.client_transport.attempt.FinishedCall", fail)
    client = optimize_client(wire.client(max_retries=2))
    assert client.messages.create(**asked()).content[0].text == "7"
    assert len(wire.sent) == 1


def test_a_ledger_that_cannot_be_is_in_nobodys_way(wire: Wire) -> None:
    client = optimize_client(wire.client(), database_url="sqlite:////dev/null/no/ledger.db", recording="sync")
    assert client.messages.create(**asked()).content[0].text == "7"


# --- the client ---------------------------------------------------------------------------------------------------


def test_a_client_keeps_its_class_and_settings(wire: Wire) -> None:
    class Mine(anthropic.Anthropic):
        pass

    http_client = wire.http_client()
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


async def test_what_creates_no_message_passes_on_an_event_loop_as_well(story: Story) -> None:
    async with story.on_a_loop() as client:
        assert (await client.messages.count_tokens(model=MODEL, messages=asked()["messages"])).input_tokens
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
    cloud = type("AnthropicElsewhere", (anthropic.Anthropic,), {"__module__": "anthropic.lib.elsewhere"})
    vertex = anthropic.AnthropicVertex(region="here", project_id="mine", access_token="token")
    for client in (cloud(api_key="key"), vertex, object(), threading):
        caplog.clear()
        assert optimize_client(client) is client
        assert f"{type(client).__name__} cannot be wrapped" in caplog.text


def test_settings_that_cannot_be_leave_the_client_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with anthropic.Anthropic(api_key="key") as client:
        assert optimize_client(client, {"optimizationEnabled": True, "cacheTTL": "forever"}) is client
    assert "cacheTTL" in caplog.text

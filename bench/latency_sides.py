"""What `bench.latency` compares: one ChatAnthropic, bare and wrapped in every way, before a provider of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import anthropic
import httpx2
import msgspec

from ledger.backends.sqlite import driver
from ledger.shared import shared_writer
from llm_optimization.config import OptimizationConfig
from llm_optimization.recording import recorder_for
from llm_optimization.wrapper import OptimizedLLMWrapper

__all__ = ["Call", "Sides", "sides"]

Call = Callable[[], Awaitable[object]]

MODEL: Final = "claude-sonnet-5"

_WORDS: Final = "The ledger keeps every request, batch and answer, what it cost and what it would have cost. "
_ANSWER: Final = msgspec.json.encode(
    {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": _WORDS}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 40,
            "output_tokens": 20,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 1960,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
        },
    }
)
_COMMIT_BYTES: Final = 3_000  # about what a call's three events come to


class Sides(msgspec.Struct, frozen=True):
    """Calls by the name of their side, "bare" among them, and how the ledgers come to rest."""

    calls: dict[str, Call]
    settle: Callable[[], object]


@contextmanager
def sides(folder: Path) -> Iterator[Sides]:
    """All of them, with ledgers in `folder`."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    bare = _model()
    behind, sync = (_url(folder, name) for name in ("behind", "sync"))
    wrapped = {
        "bare": bare,
        "bare again": bare,
        "bare, markers set by hand": bare,
        "wrapped, all switched off": _wrapped(bare, OptimizationConfig()),
        "cached": _wrapped(bare, _settings(recording="off")),
        "recorded behind": _wrapped(bare, _settings(caching_enabled=False, database_url=behind)),
        "cached, recorded behind": _wrapped(bare, _settings(database_url=behind)),
        'cached, recording="sync"': _wrapped(bare, _settings(recording="sync", database_url=sync)),
    }
    recorders = [recorder_for(OptimizationConfig(database_url=url)) for url in (behind, sync)]
    with _committer(folder) as commit:
        calls: dict[str, Call] = {
            name: partial(model.ainvoke, _prompt(by_hand="by hand" in name)) for name, model in wrapped.items()
        }
        calls["bare, then a raw SQLite commit"] = commit(bare)
        yield Sides(calls, lambda: [one.flush() for one in recorders])
    for url, recorder in zip((behind, sync), recorders, strict=True):
        recorder.flush()
        shared_writer(url).close()


def _model() -> Any:
    from langchain_anthropic import ChatAnthropic

    given: dict[str, Any] = {"model": MODEL, "api_key": "key", "max_retries": 0, "max_tokens": 1024}
    model = ChatAnthropic(**given)

    def answered(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=_ANSWER, headers={"content-type": "application/json"})

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answered))
    # Where the class keeps the client that it makes at the first call.
    model.__dict__["_async_client"] = anthropic.AsyncAnthropic(api_key="key", max_retries=0, http_client=client)
    return model


def _prompt(*, by_hand: bool = False) -> list[Any]:
    """About 2,000 tokens: instructions worth caching, a conversation, a question. `by_hand`: with our markers."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    def marked(text: str) -> Any:
        return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}] if by_hand else text

    return [
        SystemMessage(marked(_WORDS * 55)),
        HumanMessage(marked(_WORDS * 10)),
        AIMessage(_WORDS * 5),
        HumanMessage(marked(_WORDS * 5)),
    ]


def _wrapped(bare: Any, settings: OptimizationConfig) -> Any:
    return OptimizedLLMWrapper(bare, "anthropic", settings)


def _settings(**changes: Any) -> OptimizationConfig:
    return OptimizationConfig(**{"optimization_enabled": True, "caching_enabled": True, **changes})


def _url(folder: Path, name: str) -> str:
    return f"sqlite:///{folder / name}.db"


@contextmanager
def _committer(folder: Path) -> Iterator[Callable[[Any], Call]]:
    """The driver alone, on a thread as ours is: one row of that size, one synced commit, after the bare call."""
    connection: Any = driver.connect(str(folder / "raw.db"), isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=8000"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute("CREATE TABLE rows (content BLOB)")
    content = bytes(_COMMIT_BYTES)

    def write() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO rows VALUES (?)", (content,))
        connection.execute("COMMIT")

    def commit(model: Any) -> Call:
        prompt = _prompt()

        async def call() -> object:
            answer = await model.ainvoke(prompt)
            await asyncio.to_thread(write)
            return answer

        return call

    yield commit
    connection.close()

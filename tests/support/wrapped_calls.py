"""What tests of wrapped models share: a ChatAnthropic at the simulator, what it sends, and what its calls left."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import SecretStr

from ledger import Ledger
from ledger.projections import RequestRow
from ledger.queries import requests
from llm_ledger.simulator import RunningSimulator
from llm_optimization import OptimizationConfig
from llm_optimization.recording import recorder_for

__all__ = ["LONG", "Sent", "calls", "claude", "markers", "sending", "tool"]

MODEL = "claude-sonnet-4-6"

LONG = [
    SystemMessage("You are a careful tutor who answers in one short sentence. " * 300),
    HumanMessage("Why is the sky blue?"),
]
"""Well above the 1,024 tokens from which the model caches at all."""


class Sent:
    """A request as it went over the wire."""

    def __init__(self, content: bytes, headers: dict[str, str]) -> None:
        self.content = content
        self.headers = headers
        self.body: dict[str, Any] = json.loads(content)


@asynccontextmanager
async def claude(
    simulator: RunningSimulator, *, kind: type[ChatAnthropic] = ChatAnthropic, key: str = "key", **fields: Any
) -> AsyncIterator[ChatAnthropic]:
    """A bare model that calls the simulator, and nothing twice.

    Its clients are its own: LangChain shares one among all models, whose connections belong to one test's loop.
    """
    given: dict[str, Any] = {"model": MODEL, "max_tokens": 50, "max_retries": 0, **fields}
    model = kind(base_url=simulator.base_url, api_key=SecretStr(key), **given)
    # Nothing to verify on the loopback, and nothing to load for it.
    plain = anthropic.DefaultHttpxClient(verify=False)
    client = anthropic.Anthropic(**model._client_params, http_client=plain)
    aplain = anthropic.DefaultAsyncHttpxClient(verify=False)
    aclient = anthropic.AsyncAnthropic(**model._client_params, http_client=aplain)
    model.__dict__.update(_client=client, _async_client=aclient)
    try:
        yield model
    finally:
        client.close()
        await aclient.close()


@contextmanager
def sending(model: ChatAnthropic) -> Iterator[list[Sent]]:
    """The requests that the model's client, and that of whoever shares its state, sends meanwhile."""
    sent: list[Sent] = []

    def note(request: Any) -> None:
        sent.append(Sent(request.content, dict(request.headers)))

    async def anote(request: Any) -> None:
        note(request)

    client, aclient = model._client._client, model._async_client._client
    client.event_hooks, aclient.event_hooks = {"request": [note]}, {"request": [anote]}
    try:
        yield sent
    finally:
        client.event_hooks = aclient.event_hooks = {}


def markers(body: Any) -> int:
    """How many cache breakpoints stand in a body."""
    if isinstance(body, dict):
        return ("cache_control" in body) + sum(map(markers, body.values()))
    return sum(map(markers, body)) if isinstance(body, list) else 0


def calls(url: str) -> list[RequestRow]:
    """The requests in a ledger, once all that was noted so far is in."""
    assert recorder_for(OptimizationConfig(database_url=url)).flush(10)
    with Ledger.open(url) as ledger:
        return list(requests(ledger))


def tool(name: str = "look_up") -> dict[str, Any]:
    """A tool that takes a word."""
    schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    return {"name": name, "description": "Looks a word up.", "input_schema": schema}

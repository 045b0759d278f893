"""Taps of Anthropic's model: where its payload leaves, and where the raw answer arrives.

Stood in front of the base by a generated class. `_get_request_payload` is the one place that all of `_generate`,
`_agenerate`, `_stream` and `_astream` go through; tools and the system prompt are in it as they are sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from llm_optimization.wrapping.calls import Call, call_of
from llm_optimization.wrapping.hearing import heard

__all__ = ["AnthropicTaps", "is_tappable"]

_PAYLOAD = "_get_request_payload"
_EVENT = "_make_message_chunk_from_anthropic_event"


def is_tappable(base: type) -> bool:
    """Whether a chat model is built as Anthropic's is."""
    return all(hasattr(base, name) for name in (_PAYLOAD, "_create", "_acreate", "_format_output"))


class AnthropicTaps:
    """What Anthropic's model does, overheard."""

    def _get_request_payload(self, input_: Any, **kwargs: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, **kwargs)  # type: ignore[misc]
        call = call_of(self)
        return payload if call is None else call.prepared(payload)

    @property
    def _client(self) -> Any:
        client = super()._client  # type: ignore[misc]
        return client if call_of(self) is None else heard(client)

    @_client.setter
    def _client(self, client: Any) -> None:
        self.__dict__["_client"] = client  # where the base keeps the one that it makes

    @_client.deleter
    def _client(self) -> None:
        self.__dict__.pop("_client", None)

    @property
    def _async_client(self) -> Any:
        client = super()._async_client  # type: ignore[misc]
        return client if call_of(self) is None else heard(client)

    @_async_client.setter
    def _async_client(self, client: Any) -> None:
        self.__dict__["_async_client"] = client

    @_async_client.deleter
    def _async_client(self) -> None:
        self.__dict__.pop("_async_client", None)

    def _create(self, payload: dict[str, Any]) -> Any:
        call = call_of(self)
        if call is None:
            return super()._create(payload)  # type: ignore[misc]
        with call.sending():
            response = super()._create(payload)  # type: ignore[misc]
        return _overheard(call, response) if self._is_mute(payload) else response

    async def _acreate(self, payload: dict[str, Any]) -> Any:
        call = call_of(self)
        if call is None:
            return await super()._acreate(payload)  # type: ignore[misc]
        with call.sending():
            response = await super()._acreate(payload)  # type: ignore[misc]
        return _aoverheard(call, response) if self._is_mute(payload) else response

    def _format_output(self, data: Any, **kwargs: Any) -> Any:
        call = call_of(self)
        if call is not None:
            call.hear_message(data)
        return super()._format_output(data, **kwargs)  # type: ignore[misc]

    def _make_message_chunk_from_anthropic_event(self, event: Any, **kwargs: Any) -> Any:
        call = call_of(self)
        if call is not None:
            call.hear_event(event)
        return super()._make_message_chunk_from_anthropic_event(event, **kwargs)  # type: ignore[misc]

    def _is_mute(self, payload: dict[str, Any]) -> bool:
        """Before langchain-anthropic 1 the events of a stream can only be heard as they are read."""
        return bool(payload.get("stream")) and not hasattr(super(), _EVENT)


def _overheard(call: Call, events: Any) -> Iterator[Any]:
    for event in events:
        call.hear_event(event)
        yield event


async def _aoverheard(call: Call, events: Any) -> AsyncIterator[Any]:
    async for event in events:
        call.hear_event(event)
        yield event

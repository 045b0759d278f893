"""Prompts on their way out: marked for the cache, and settled with the API version they travel under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_optimization.wrapping.mishaps import mishap
from llm_optimization.wrapping.sampling import api_version, settled
from scheduler.providers.anthropic.limits import NAME as ANTHROPIC

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from llm_optimization.wrapping.optimization import Optimization

__all__ = ["Prepared", "item_of", "marked_messages", "model_name", "prepared"]

_NAMES = ("model_name", "model", "model_id", "deployment_name", "azure_deployment")


class Prepared(NamedTuple):
    """A payload to send, the breakpoints that we set in it, and the API version it travels under."""

    payload: dict[str, Any]
    markers: int
    api_version: str


def prepared(optimization: Optimization, payload: dict[str, Any], headers: Any, *, marks: bool) -> Prepared:
    """The payload of an Anthropic call as it is to be sent; the same one where there is nothing to do, or we fail.

    `headers` are the client's own.
    """
    markers = 0
    if marks:
        try:
            made = optimization.cache_manager.mark_params(payload)
            markers = made.markers
            payload = payload if made.params is payload else dict(made.params)
        except Exception as error:
            mishap("prompts cannot be marked", error)
    if optimization.changes and optimization.capabilities.provider == ANTHROPIC:
        try:
            payload = settled(payload, headers)
        except Exception as error:
            mishap("sampling parameters cannot be settled", error)
    return Prepared(payload, markers, api_version(payload, headers))


def item_of(optimization: Optimization, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The params of a batch item, from the payload of a call."""
    from llm_optimization.batching.params import item_params

    params = item_params(payload)
    if optimization.marks:
        try:
            return optimization.cache_manager.mark_params(params).params
        except Exception as error:
            mishap("prompts cannot be marked", error)
    return params


def marked_messages(
    optimization: Optimization, messages: list[BaseMessage], model: str, options: Mapping[str, Any]
) -> list[BaseMessage]:
    """The messages with breakpoints, for a model that gives no sight of its payload."""
    try:
        return optimization.cache_manager.add_cache_markers(messages, model=model, tools=options.get("tools"))
    except Exception as error:
        mishap("prompts cannot be marked", error)
        return messages


def model_name(model: Any, options: Mapping[str, Any]) -> str:
    """The name of the model that is asked: what the call says, else what the chat model has."""
    if isinstance(named := options.get("model"), str):
        return named
    fields = model.__dict__  # a field that is not there costs ten times as much to ask for as an attribute
    for name in _NAMES:
        if isinstance(named := fields.get(name), str) and named:
            return named
    return ""

"""What the provider checks before it answers: the same rules for a call and for an item of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from llm_ledger.simulator.breakpoints import place_breakpoints
from llm_ledger.simulator.catalogue import Model, find_model
from llm_ledger.simulator.errors import invalid, not_found
from llm_ledger.simulator.prompt import Prompt, read_prompt

__all__ = ["NEW_VERSION", "VERSIONS", "Endpoint", "Request", "check"]

VERSIONS = ("2023-06-01", "2026-10-21")
NEW_VERSION = "2026-10-21"

Endpoint = Literal["messages", "batches", "count_tokens"]

_SAMPLING = ("temperature", "top_p", "top_k")
_FIELDS = frozenset(
    [
        "model",
        "messages",
        "max_tokens",
        "system",
        "tools",
        "tool_choice",
        "stop_sequences",
        "stream",
        "metadata",
        "thinking",
        "service_tier",
        "temperature",
        "top_p",
        "top_k",
        "cache_control",
        "inference_geo",
        "container",
        "context_management",
        "diagnostics",
        "mcp_servers",
        "output_config",
        "output_format",
        "speed",
        "user_profile_id",
    ]
)
_ROLES = ("user", "assistant", "system")


class Request(msgspec.Struct, frozen=True):
    """A request that passed: its params, its model, its prompt with every breakpoint in place."""

    params: dict[str, Any]
    model: Model
    prompt: Prompt


def check(params: object, *, version: str, endpoint: Endpoint) -> Request:
    """The request that `params` ask for. Raises ApiError 400, or 404 for an unknown model."""
    if not isinstance(params, dict):
        raise invalid("params: Input should be an object")
    for name in params:
        if name not in _FIELDS:
            raise invalid(f"{name}: Extra inputs are not permitted")
    model = _model(params)
    if endpoint != "count_tokens":
        _check_max_tokens(params, model, lowest=1 if endpoint == "batches" else 0)
    if endpoint == "batches":
        _check_batchable(params)
    elif params.get("speed") == "fast":
        raise invalid("speed: fast is not offered here")
    _check_sampling(params, model, version)
    _check_messages(params)
    _check_system(params)
    _check_tools(params, model)
    if version == NEW_VERSION:
        _check_new_version(params)
    prompt = place_breakpoints(params, read_prompt(params))
    if prompt.tokens > model.context:
        raise invalid(f"prompt is too long: {prompt.tokens} tokens > {model.context} maximum")
    return Request(params, model, prompt)


def _model(params: dict[str, Any]) -> Model:
    name = params.get("model")
    if not isinstance(name, str):
        raise invalid("model: Field required")
    model = find_model(name)
    if model is None:
        raise not_found(f"model: {name}")
    return model


def _check_max_tokens(params: dict[str, Any], model: Model, *, lowest: int) -> None:
    limit = params.get("max_tokens")
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise invalid("max_tokens: Field required" if limit is None else "max_tokens: Input should be an integer")
    if limit < lowest:
        raise invalid(f"max_tokens: Input should be greater than or equal to {lowest}")
    if limit > model.max_output:
        raise invalid(
            f"max_tokens: {limit} > {model.max_output}, which is the maximum allowed number of output tokens "
            f"for {model.id}"
        )


def _check_batchable(params: dict[str, Any]) -> None:
    if params.get("stream"):
        raise invalid("stream: streaming is not supported in batches")
    if params.get("speed") is not None:
        raise invalid("speed: not supported in batches")


def _check_sampling(params: dict[str, Any], model: Model, version: str) -> None:
    for name in _SAMPLING:
        if params.get(name) is None:
            continue
        if version == NEW_VERSION:
            raise invalid(f"{name}: not supported by API version {NEW_VERSION}")
        if not model.sampling:
            raise invalid(f"{name}: not supported by {model.id}")


def _check_messages(params: dict[str, Any]) -> None:
    messages = params.get("messages")
    if messages is None:
        raise invalid("messages: Field required")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages: at least one message is required")
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise invalid(f"messages.{position}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if not isinstance(content, str | list):
            raise invalid(f"messages.{position}.content: Field required")
        if not content:
            raise invalid(f"messages.{position}: all messages must have non-empty content")


def _check_system(params: dict[str, Any]) -> None:
    if not isinstance(params.get("system"), str | list | None):
        raise invalid("system: Input should be a string or a list of text blocks")


def _check_tools(params: dict[str, Any], model: Model) -> None:
    tools = params.get("tools") or []
    if not isinstance(tools, list):
        raise invalid("tools: Input should be a list")
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise invalid(f"tools.{index}.name: Field required")
        if tool.get("type", "custom") == "custom" and not isinstance(tool.get("input_schema"), dict):
            raise invalid(f"tools.{index}.input_schema: Field required")
    choice = params.get("tool_choice")
    if choice is not None:
        _check_choice(choice, tools, model)


def _check_choice(choice: object, tools: list[dict[str, Any]], model: Model) -> None:
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or kind not in ("auto", "any", "tool", "none"):
        raise invalid("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if kind not in ("any", "tool"):
        return
    if not model.forced_tools:
        raise invalid(f"tool_choice: {model.id} does not support forced tool use")
    if kind == "tool" and choice.get("name") not in [tool["name"] for tool in tools]:
        raise invalid(f"tool_choice.name: Tool '{choice.get('name')}' not found in provided tools")
    if not tools:
        raise invalid("tool_choice: may only be specified while providing tools")


def _check_new_version(params: dict[str, Any]) -> None:
    refused: dict[str, Callable[[dict[str, Any]], bool]] = {
        "assistant": lambda block: block.get("type") == "document",
        "user": lambda block: block.get("type") == "text" and block.get("citations") is not None,
    }
    for position, message in enumerate(params["messages"]):
        content = message["content"]
        is_refused = refused.get(message["role"])
        if is_refused is None or isinstance(content, str):
            continue
        for index, block in enumerate(content):
            if isinstance(block, dict) and is_refused(block):
                raise invalid(f"messages.{position}.content.{index}: not supported by API version {NEW_VERSION}")

"""What the simulated model says: decided by the prompt and the seed alone, so that nothing is left to chance."""

from __future__ import annotations

from typing import Any

import msgspec

from llm_ledger.simulator.chance import identifier, number
from llm_ledger.simulator.examples import example
from llm_ledger.simulator.prompt import estimate_tokens
from llm_ledger.simulator.spelled_out import last_text, quoted_arguments, written_call
from llm_ledger.simulator.validation import Request

__all__ = ["Answer", "compose"]

_SENTENCES = (
    "Let me take this one step at a time.",
    "First I note what is given and what is asked.",
    "The quantities add up in a simple way.",
    "Half of it goes to the first part, the rest to the second.",
    "Multiplying the two gives the intermediate result.",
    "Subtracting what was used leaves the remainder.",
    "This agrees with a quick estimate.",
    "Nothing else in the question changes the outcome.",
    "Checking the units, everything is consistent.",
    "The remaining share is divided evenly.",
    "That accounts for every part of the question.",
    "Taken together this settles the matter.",
)


class Answer(msgspec.Struct, frozen=True):
    """Content blocks, why they stopped, and how many output tokens they are."""

    content: list[dict[str, Any]]
    stop_reason: str
    stop_sequence: str | None
    tokens: int


def compose(request: Request, seed: int) -> Answer:
    """The answer to a request.

    A client tool is called when `tool_choice` forces one, or when tools are on offer and the last turn
    brought no tool result; with the arguments that the last turn spells out, else with any that its schema
    takes. A JSON schema in `output_config` is met. Otherwise: prose, and `#### <number>`.
    """
    salt = number(seed, request.model.id, request.prompt.digest().hex())
    limit = int(request.params["max_tokens"])
    if limit == 0:
        return Answer([], "max_tokens", None, 0)
    tool = _called_tool(request.params)
    if tool is not None:
        return _tool_call(tool, last_text(request.params), salt, limit)
    schema = _output_schema(request.params)
    text = _prose(salt) if schema is None else msgspec.json.encode(example(schema)).decode()
    return _cut(text, limit, request.params.get("stop_sequences") or ())


def _prose(salt: int) -> str:
    salt, count = divmod(salt, 4)
    sentences = []
    for _ in range(count + 2):
        salt, index = divmod(salt, len(_SENTENCES))
        sentences.append(_SENTENCES[index])
    return f"{' '.join(sentences)}\n#### {salt % 1000}"


def _cut(text: str, limit: int, stop_sequences: object) -> Answer:
    stop: str | None = None
    places = {
        text.index(sequence): sequence
        for sequence in (stop_sequences if isinstance(stop_sequences, list) else ())
        if isinstance(sequence, str) and sequence and sequence in text
    }
    if places:
        stop = places[min(places)]
        text = text[: min(places)]
    reason = "stop_sequence" if stop else "end_turn"
    data = text.encode()
    if estimate_tokens(data) > limit:
        text = data[: 4 * limit].decode(errors="ignore")
        reason, stop = "max_tokens", None
    content = [{"type": "text", "text": text}] if text else []
    return Answer(content, reason, stop, max(1, estimate_tokens(text.encode())))


def _tool_call(tool: dict[str, Any], text: str, salt: int, limit: int) -> Answer:
    arguments = written_call(tool, text)
    if arguments is None:
        arguments = example({"type": "object", **tool["input_schema"]}) | quoted_arguments(tool, text)
    block = {"type": "tool_use", "id": identifier("toolu", salt), "name": tool["name"], "input": arguments}
    tokens = estimate_tokens(msgspec.json.encode(block))
    if tokens > limit:
        return Answer([{**block, "input": {}}], "max_tokens", None, limit)
    return Answer([block], "tool_use", None, tokens)


def _called_tool(params: dict[str, Any]) -> dict[str, Any] | None:
    choice = params.get("tool_choice") or {"type": "auto"}
    tools = [tool for tool in params.get("tools") or () if isinstance(tool.get("input_schema"), dict)]
    match choice["type"]:
        case "tool":
            return next((tool for tool in tools if tool["name"] == choice["name"]), None)
        case "any":
            return _most_fitting(tools, params)
        case "auto":
            return None if _brings_tool_result(params) else _most_fitting(tools, params)
        case _:
            return None


def _most_fitting(tools: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any] | None:
    text = last_text(params)
    written = (tool for tool in tools if written_call(tool, text) is not None)
    return next(written, None) or next(iter(tools), None)


def _brings_tool_result(params: dict[str, Any]) -> bool:
    content = params["messages"][-1]["content"]
    return isinstance(content, list) and any(block.get("type") == "tool_result" for block in content)


def _output_schema(params: dict[str, Any]) -> object | None:
    config = params.get("output_config")
    wanted = config.get("format") if isinstance(config, dict) else params.get("output_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        return wanted.get("schema")
    return None

"""How each provider says "Hello there." and what it used, whole or as a stream.

Shapes are those that the providers' own SDKs parse; `FORMATS[provider](path, body)` gives content type and bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from zlib import crc32

__all__ = ["ANSWER", "CACHED", "FORMATS", "PROMPT", "TEXT", "TOKENS"]

PROMPT: Final = 21
CACHED: Final = 8
ANSWER: Final = 5
TEXT: Final = "Hello there."
PARTS: Final = ("Hello ", "there.")
TOKENS: Final = "token"
"""Where Google's accounts get their access tokens, below the provider's address."""

Answer = tuple[str, bytes]
Format = Callable[[str, Mapping[str, Any]], Answer]


def _whole(answer: Mapping[str, Any]) -> Answer:
    return "application/json", json.dumps(answer).encode()


def _events(events: Iterable[Any], *, named: bool = False, done: bool = False) -> Answer:
    lines = [
        (f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events
    ] + (["data: [DONE]\n\n"] if done else [])
    return "text/event-stream", "".join(lines).encode()


def _anthropic(_: str, body: Mapping[str, Any]) -> Answer:
    usage = {"input_tokens": PROMPT - CACHED, "cache_read_input_tokens": CACHED, "cache_creation_input_tokens": 0}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
    if not body.get("stream"):
        content = [{"type": "text", "text": TEXT}]
        ending = {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage | {"output_tokens": ANSWER}}
        return _whole({**message, "content": content, **ending})
    empty = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage | {"output_tokens": 1}}
    return _events(
        [
            {"type": "message_start", "message": {**message, **empty}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": part}}
                for part in PARTS
            ),
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": usage | {"output_tokens": ANSWER},
            },
            {"type": "message_stop"},
        ],
        named=True,
    )


def _openai(_: str, body: Mapping[str, Any]) -> Answer:
    """Usage comes in a chunk of its own, and only if it was asked for."""
    asked = (body.get("stream_options") or {}).get("include_usage")
    return _chat_completions(body, usage_apart=True) if asked else _chat_completions(body, usage_in_stream=False)


def _openai_like(_: str, body: Mapping[str, Any]) -> Answer:
    """Usage comes with the last chunk, asked for or not."""
    return _chat_completions(body)


def _groq(_: str, body: Mapping[str, Any]) -> Answer:
    return _chat_completions(body, last={"x_groq": {"id": "req_1", "usage": _openai_usage()}})


def _openai_usage() -> dict[str, Any]:
    return {
        "prompt_tokens": PROMPT,
        "completion_tokens": ANSWER,
        "total_tokens": PROMPT + ANSWER,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    }


def _chat_completions(
    body: Mapping[str, Any],
    *,
    usage_in_stream: bool = True,
    usage_apart: bool = False,
    last: Mapping[str, Any] | None = None,
) -> Answer:
    head = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": body.get("model", "gpt-4o")}
    if not body.get("stream"):
        message = {"role": "assistant", "content": TEXT}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return _whole({**head, "object": "chat.completion", "choices": [choice], "usage": _openai_usage()})
    head["object"] = "chat.completion.chunk"

    def chunk(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]}

    texts = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": part}) for part in PARTS)]
    end = chunk({}, "stop") | (last or {})
    if usage_apart:
        return _events([*texts, end, {**head, "choices": [], "usage": _openai_usage()}], done=True)
    if usage_in_stream:
        end["usage"] = _openai_usage()
    return _events([*texts, end], done=True)


def _gemini(path: str, _: Mapping[str, Any]) -> Answer:
    def response(text: str, reason: str | None = None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        return {
            "candidates": [candidate],
            "modelVersion": "gemini-2.5-flash",
            "responseId": "r1",
            "usageMetadata": {
                "promptTokenCount": PROMPT,
                "cachedContentTokenCount": CACHED,
                "candidatesTokenCount": ANSWER,
                "totalTokenCount": PROMPT + ANSWER,
            },
        }

    if "streamGenerateContent" not in path:
        return _whole(response(TEXT, "STOP"))
    return _events([response(PARTS[0]), response(PARTS[1], "STOP")])


def _vertex(path: str, body: Mapping[str, Any]) -> Answer:
    if path == TOKENS:
        return _whole({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})
    return _gemini(path, body)


def _cohere(_: str, body: Mapping[str, Any]) -> Answer:
    tokens = {"input_tokens": PROMPT, "output_tokens": ANSWER}
    usage = {"billed_units": tokens, "tokens": tokens, "cached_tokens": CACHED}
    if not body.get("stream"):
        message = {"role": "assistant", "content": [{"type": "text", "text": TEXT}]}
        return _whole({"id": "c1", "finish_reason": "COMPLETE", "message": message, "usage": usage})
    start = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}
    return _events(
        [
            {"type": "message-start", "id": "c1", "delta": start},
            {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
            *(
                {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": part}}}}
                for part in PARTS
            ),
            {"type": "content-end", "index": 0},
            {"type": "message-end", "id": "c1", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
        ],
        named=True,
    )


def _ollama(_: str, body: Mapping[str, Any]) -> Answer:
    head = {"model": body["model"], "created_at": "2026-11-22T00:00:00Z"}
    used = {"prompt_eval_count": PROMPT, "eval_count": ANSWER, "total_duration": 1, "eval_duration": 1}
    end = {"done": True, "done_reason": "stop", **used}
    if not body.get("stream"):
        return _whole({**head, "message": {"role": "assistant", "content": TEXT}, **end})
    lines = [
        *({**head, "message": {"role": "assistant", "content": part}, "done": False} for part in PARTS),
        {**head, "message": {"role": "assistant", "content": ""}, **end},
    ]
    return "application/x-ndjson", "".join(json.dumps(line) + "\n" for line in lines).encode()


def _bedrock(path: str, _: Mapping[str, Any]) -> Answer:
    usage = {
        "inputTokens": PROMPT - CACHED,
        "outputTokens": ANSWER,
        "totalTokens": PROMPT + ANSWER,
        "cacheReadInputTokens": CACHED,
        "cacheWriteInputTokens": 0,
    }
    metrics = {"latencyMs": 1}
    if not path.endswith("/converse-stream"):
        message = {"role": "assistant", "content": [{"text": TEXT}]}
        return _whole({"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": metrics})
    frames = [
        _frame("messageStart", {"role": "assistant"}),
        *(_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": part}}) for part in PARTS),
        _frame("contentBlockStop", {"contentBlockIndex": 0}),
        _frame("messageStop", {"stopReason": "end_turn"}),
        _frame("metadata", {"usage": usage, "metrics": metrics}),
    ]
    return "application/vnd.amazon.eventstream", b"".join(frames)


def _frame(event: str, payload: Mapping[str, Any]) -> bytes:
    """One message of AWS's event stream: two lengths and their checksum, headers, payload, the checksum of it all."""
    said = {":event-type": event, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in said.items()
    )
    body = json.dumps(payload).encode()
    lengths = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    frame = lengths + struct.pack("!I", crc32(lengths)) + headers + body
    return frame + struct.pack("!I", crc32(frame))


FORMATS: Final[Mapping[str, Format]] = {
    "anthropic": _anthropic,
    "azureOpenAI": _openai,
    "bedrock": _bedrock,
    "cohere": _cohere,
    "fireworks": _openai_like,
    "gemini": _gemini,
    "groq": _groq,
    "mistral": _openai_like,
    "ollama": _ollama,
    "openAI": _openai,
    "openAICompatible": _openai,
    "together": _openai_like,
    "vertexAI": _vertex,
    "xai": _openai_like,
}

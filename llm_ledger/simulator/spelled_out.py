"""What the last turn spells out for a tool: a call as it is written, or words in quotes."""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["last_text", "quoted_arguments", "written_call"]

_QUOTED = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)|\"([^\"\n]+)\"")
_TYPES: dict[object, type | tuple[type, ...]] = {"integer": int, "number": (int, float), "string": str}


def last_text(params: dict[str, Any]) -> str:
    """The text of a request's last message."""
    content = params["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block.get("type") == "text")


def quoted_arguments(tool: dict[str, Any], text: str) -> dict[str, Any]:
    """What stands in quotes in a text, in order, for the required strings of any kind that a tool takes."""
    schema = tool["input_schema"]
    properties = schema.get("properties", {})
    plain = [name for name in schema.get("required", ()) if _is_plain_string(properties.get(name, {}))]
    words = (single or double for single, double in _QUOTED.findall(text))
    return dict(zip(plain, words, strict=False))


def written_call(tool: dict[str, Any], text: str) -> dict[str, Any] | None:
    """The arguments of `name(3, "x")` in a text, by the order of the tool's properties.

    None where no such call is written, or where its arguments are not what the tool takes.
    """
    written = re.search(rf"\b{re.escape(tool['name'])}\(([^()]*)\)", text)
    if written is None:
        return None
    try:
        values = msgspec.json.decode(f"[{written[1]}]")
    except msgspec.DecodeError:
        return None
    schema = tool["input_schema"]
    properties = schema.get("properties", {})
    arguments = dict(zip(properties, values, strict=False))
    fits = len(values) <= len(properties) and all(_fits(properties[name], arguments[name]) for name in arguments)
    return arguments if fits and set(schema.get("required", ())) <= set(arguments) else None


def _is_plain_string(schema: object) -> bool:
    if not isinstance(schema, dict):
        return False
    return schema.get("type") == "string" and set(schema) <= {"type", "title", "description"}


def _fits(schema: object, value: Any) -> bool:
    kind = _TYPES.get(schema.get("type")) if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or kind is None or not isinstance(value, kind) or isinstance(value, bool):
        return False
    if "enum" in schema:
        return value in schema["enum"]
    return isinstance(value, str) or schema.get("minimum", value) <= value <= schema.get("maximum", value)

"""A small value that satisfies a JSON schema: what a forced tool call or a structured output answers."""

from __future__ import annotations

from typing import Any

__all__ = ["example"]

_DEEPEST = 12
_STRINGS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example(schema: object) -> Any:
    """The smallest value this module knows for `schema`: required properties, first choices, lower bounds."""
    root = schema if isinstance(schema, dict) else {}
    return _value(root, root, 0)


def _value(schema: object, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return _value(_referenced(schema["$ref"], root), root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _value(schema[key][0], root, depth + 1)
    if schema.get("allOf"):
        return _value(_merged(schema, root), root, depth + 1)
    return _typed(schema, root, depth)


def _typed(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    match kind:
        case "object":
            properties = schema.get("properties", {})
            names = schema.get("required", [])
            return {name: _value(properties.get(name, {}), root, depth + 1) for name in names}
        case "array":
            return [_value(schema.get("items", {}), root, depth + 1)] * int(schema.get("minItems", 0))
        case "integer" | "number":
            return _lowest(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema)


def _lowest(schema: dict[str, Any]) -> int:
    if "exclusiveMinimum" in schema:
        return int(schema["exclusiveMinimum"]) + 1
    lowest = int(schema.get("minimum", 1))
    highest = schema.get("maximum")
    return lowest if highest is None else min(lowest, int(highest))


def _string(schema: dict[str, Any]) -> str:
    text = _STRINGS.get(schema.get("format", ""), "example")
    return text.ljust(int(schema.get("minLength", 0)), "x")[: int(schema.get("maxLength", 10_000))]


def _referenced(pointer: str, root: dict[str, Any]) -> object:
    found: Any = root
    for step in pointer.removeprefix("#").split("/"):
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return found


def _merged(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    parts = [{key: value for key, value in schema.items() if key != "allOf"}]
    for part in schema["allOf"]:
        resolved = _referenced(part["$ref"], root) if isinstance(part, dict) and "$ref" in part else part
        if isinstance(resolved, dict):
            parts.append(resolved)
    merged: dict[str, Any] = {}
    for part in parts:
        both = {**merged.get("properties", {}), **part.get("properties", {})}
        names = [*merged.get("required", []), *part.get("required", [])]
        merged = {**merged, **part, **({"properties": both, "required": names} if both else {})}
    return merged

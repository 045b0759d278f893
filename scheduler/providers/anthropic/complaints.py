"""One line out of pydantic's many: the innermost place that is wrong, and what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import msgspec

__all__ = ["Complaint", "complaint"]

_KINDS = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "float_type": "a number",
    "int_type": "an integer",
    "list_type": "a list",
    "none_required": "null",
    "string_type": "a string",
}
_BOUNDS = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} items",
}
_FIXED = {
    "missing": "is required",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
_JSON_NAMES = {
    bool: "true or false",
    dict: "an object",
    float: "a fraction",
    int: "a number",
    list: "a list",
    str: "a string",
    type(None): "null",
}
_EXPLAINING = frozenset({"extra_forbidden", "literal_error"})
_QUOTED_CHARACTERS = 40


class Complaint(msgspec.Struct, frozen=True):
    """A place (`messages.0.content`), how deep it lies, and what is wrong there."""

    path: str
    depth: int
    reason: str


def complaint(params: dict[str, Any], errors: Sequence[Any], known_fields: Sequence[str]) -> Complaint:
    """The deepest of pydantic's error details; those of one place are told together.

    The deepest is the right one: where a value may be a string or a list of blocks, a wrong block also fails as a
    string, but higher up. At equal depth a wrong `type` or a misspelt field goes first, since either explains the
    missing ones. `known_fields` are the top-level names that a misspelt one is compared with.
    """
    explaining_first = sorted(errors, key=lambda error: error["type"] not in _EXPLAINING)
    placed = [_place_and_reason(params, error, known_fields) for error in explaining_first]
    depth = max(len(place) for place, _, _ in placed)
    place, found, _ = next(entry for entry in placed if len(entry[0]) == depth)
    kinds = list(dict.fromkeys(kind for other, _, kind in placed if other == place and kind))
    reason = f"must be {' or '.join(kinds)}, not {_json_name(params, place)}" if kinds else found
    return Complaint(path=".".join(map(str, place)), depth=depth, reason=reason)


def _place_and_reason(
    params: dict[str, Any], error: Any, known_fields: Sequence[str]
) -> tuple[tuple[Any, ...], str, str]:
    """Where an error lies, what it says, and the kind of value wanted if that is all that is wrong."""
    kind, loc, context, given = error["type"], error["loc"], error.get("ctx", {}), error["input"]
    if kind == "missing":
        return (*_place(params, loc[:-1]), loc[-1]), _FIXED[kind], ""
    place = _place(params, loc)
    if kind == "unknown_tag":
        field, *known = error["msg"].split()
        return _wrong_tag(place, given, field, known)
    if kind == "extra_forbidden":
        return place, _unknown_field(place, known_fields), ""
    if kind == "literal_error":
        return place, f"must be {context['expected']}, not {_quote(given)}", ""
    if kind == "string_pattern_mismatch":
        return place, f"{_quote(given)} holds a character that such a name cannot hold", ""
    if kind in _BOUNDS:
        return place, _BOUNDS[kind].format(**context), ""
    return place, _FIXED.get(kind, error["msg"]), _KINDS.get(kind, "")


def _place(node: Any, loc: Sequence[Any]) -> tuple[Any, ...]:
    """The part of pydantic's `loc` that leads through the params; the rest names branches of its unions.

    A branch may be named like a field (`text`): of two readings the longer is taken, then the later one.
    """
    if not loc:
        return ()
    head, rest = loc[0], loc[1:]
    as_branch = _place(node, rest)
    is_index = isinstance(node, list) and isinstance(head, int) and head < len(node)
    if not is_index and not (isinstance(node, dict) and head in node):
        return as_branch
    as_field = (head, *_place(node[head], rest))
    return as_field if len(as_field) > len(as_branch) else as_branch


def _wrong_tag(
    place: tuple[Any, ...], given: Any, field: str, known: Sequence[str]
) -> tuple[tuple[Any, ...], str, str]:
    if not isinstance(given, dict):
        return place, "", "an object"
    if given.get(field) is None:
        return (*place, field), "is required", ""
    return (*place, field), f"{_quote(given[field])} is {_not_one_of(given[field], known)}", ""


def _not_one_of(given: Any, known: Sequence[str]) -> str:
    near = get_close_matches(str(given), known, 1)
    return f"unknown; did you mean {near[0]!r}?" if near else f"not one of {', '.join(sorted(known))}"


def _unknown_field(place: tuple[Any, ...], known_fields: Sequence[str]) -> str:
    name = place[-1]
    if name == "cache_control":
        return "a cache breakpoint cannot stand here"
    near = get_close_matches(str(name), known_fields, 1) if len(place) == 1 else []
    hint = f"did you mean {near[0]!r}?" if near else "check its spelling, or upgrade the anthropic package"
    return f"unknown field; {hint}"


def _json_name(params: Any, place: Sequence[Any]) -> str:
    for key in place:
        params = params[key]
    return _JSON_NAMES.get(type(params), type(params).__name__)


def _quote(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…"

"""Closing the SDK's param types, so that pydantic checks all of a request and reports one place.

The SDK's TypedDicts are rebuilt with four changes: `Iterable` and `Sequence` become `list`; a union of objects is
told apart by its `type` or `role`; unknown fields are refused; values are not coerced. Choices that JSON cannot
express (open files, paths, response models) are dropped.
"""

from __future__ import annotations

import collections.abc
import functools
import os
import types
from typing import (
    IO,
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from typing_extensions import TypedDict, is_typeddict

__all__ = ["NULL_IN_RESPONSES", "closed_params"]

Unknown = Literal["forbid", "ignore"]

_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)
_TAG_FIELDS = ("type", "role")
_TYPE_OF_A_TOOL_WITHOUT_ONE = "custom"

# Responses carry these as null where the param types would leave them out, and responses come back as history.
NULL_IN_RESPONSES = frozenset({"caller"})

# The limit of messages is documented on the SDK's `messages` field, the ranges of the sampling parameters on its
# 1.x fields of that name: 2.x has none, but the API still takes them. How long a model's name and how large
# `max_tokens` may be is our own bound: both are recorded.
_FIELDS: dict[str, Any] = {
    "model": Required[Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]],
    "max_tokens": Required[Annotated[int, Field(ge=1, le=2**31 - 1)]],
    "temperature": NotRequired[Annotated[float, Field(ge=0, le=1)]],
    "top_p": NotRequired[Annotated[float, Field(ge=0, le=1)]],
    "top_k": NotRequired[Annotated[int, Field(ge=0)]],
    "betas": NotRequired[list[Annotated[str, Field(pattern=r"^[!-+\--~]+$")]]],
}
_MESSAGES = Field(min_length=1, max_length=100_000)


def closed_params(kind: str, *, unknown_fields: Unknown) -> Any:
    """The closed type of a non-streaming message creation, `stable` or `beta`."""
    if kind == "beta":
        from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as Beta

        params: Any = Beta
    else:
        from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Stable

        params = Stable
    fields = _fields(params, unknown_fields) | _FIELDS
    messages = get_args(fields["messages"])[0]
    fields["messages"] = Required[Annotated[messages, _MESSAGES]]
    return _typed_dict("Params", fields, unknown_fields)


def _fields(typed_dict: Any, unknown: Unknown) -> dict[str, Any]:
    hints = get_type_hints(typed_dict, include_extras=True)
    return {name: _field(name, hint, unknown) for name, hint in hints.items()}


def _field(name: str, hint: Any, unknown: Unknown) -> Any:
    closed = _close(hint, unknown)
    if name in NULL_IN_RESPONSES:
        closed = closed | None
    # Not `__required_keys__`: it cannot see through the SDK's postponed annotations. All are `total=False`.
    return Required[closed] if get_origin(hint) is Required else NotRequired[closed]


def _typed_dict(name: str, fields: dict[str, Any], unknown: Unknown) -> Any:
    made: Any = cast(Any, TypedDict)(name, fields)
    made.__pydantic_config__ = ConfigDict(strict=True, extra=unknown)
    return made


@functools.cache
def _closed_typed_dict(typed_dict: Any, unknown: Unknown) -> Any:
    own = getattr(typed_dict, "__pydantic_config__", {}).get("extra")
    made = _typed_dict(typed_dict.__name__, _fields(typed_dict, unknown), unknown)
    if own:
        made.__pydantic_config__ = ConfigDict(strict=True, extra=own)
    return made


def _close(hint: Any, unknown: Unknown) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_typeddict(hint):
        return _closed_typed_dict(hint, unknown)
    if origin in (Required, NotRequired, Annotated):
        return _close(arguments[0], unknown)
    if origin in (Union, types.UnionType):
        return _closed_union([_close(choice, unknown) for choice in _choices(hint)])
    if origin in _LISTS:
        return list[_close(arguments[0], unknown)]  # type: ignore[misc]
    if origin is dict:
        return dict[arguments[0], _close(arguments[1], unknown)]  # type: ignore[valid-type,misc]
    return hint


def _choices(hint: Any) -> list[Any]:
    """The choices of a union, unions within it dissolved, that JSON can express."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _choices(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return [choice for argument in get_args(hint) for choice in _choices(argument)]
    foreign = origin in (IO, os.PathLike) or (isinstance(hint, type) and issubclass(hint, BaseModel))
    return [] if foreign else [hint]


def _closed_union(choices: list[Any]) -> Any:
    objects = [choice for choice in choices if is_typeddict(choice)]
    tag_field = next((name for name in _TAG_FIELDS if all(_tags(choice, name) for choice in objects)), None)
    if len(objects) < 2 or tag_field is None:
        return _union(choices)
    others = [choice for choice in choices if not is_typeddict(choice)]
    return _union([*others, _tagged(objects, tag_field)])


def _tags(typed_dict: Any, name: str) -> tuple[str, ...]:
    """The values that tell an object apart: of a `Literal` field, or of an optional one."""
    field = typed_dict.__annotations__.get(name)
    if field is None:
        return ()
    hint = get_args(field)[0]
    literals = [hint] if get_origin(hint) is Literal else get_args(hint)
    return tuple(value for literal in literals if get_origin(literal) is Literal for value in get_args(literal))


def _tagged(objects: list[Any], tag_field: str) -> Any:
    def tag_of(value: Any) -> Any:
        tag = value.get(tag_field) if isinstance(value, dict) else None
        return default if tag is None else tag if isinstance(tag, str) else None

    by_tag = {tag: choice for choice in objects for tag in _tags(choice, tag_field)}
    default = _TYPE_OF_A_TOOL_WITHOUT_ONE if _TYPE_OF_A_TOOL_WITHOUT_ONE in by_tag else None
    discriminator = Discriminator(
        tag_of,
        custom_error_type="unknown_tag",
        # Read by `complaints`; the context of a custom error would make the union unhashable.
        custom_error_message=" ".join((tag_field, *by_tag)),
    )
    return Annotated[_union([Annotated[choice, Tag(tag)] for tag, choice in by_tag.items()]), discriminator]


def _union(choices: list[Any]) -> Any:
    return Union[tuple(choices)]  # noqa: UP007

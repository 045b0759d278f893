"""Closing the SDK's param types, so that pydantic checks all of a request and reports one place.

The SDK's TypedDicts are rebuilt with four changes: `Iterable` and `Sequence` become `list`; a union of objects is
told apart by its `type` or `role`; what is unknown is refused; values are not coerced. Choices that JSON cannot
express (open files, paths, response models) are dropped.

Types that know less than the API are rebuilt open: a field, a `type` of an object or a named value that they do not
know passes, and so does null for what may be left out. That is how the SDK's types have grown so far.
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

__all__ = ["NULL_IN_RESPONSES", "checked_params"]

_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)
_TAG_FIELDS = ("type", "role")
_TYPE_OF_A_TOOL_WITHOUT_ONE = "custom"
_OF_AN_UNKNOWN_TYPE = "?"

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


def checked_params(kind: str, *, closed: bool) -> Any:
    """The type of a non-streaming message creation, `stable` or `beta`, closed or open."""
    if kind == "beta":
        from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as Beta

        params: Any = Beta
    else:
        from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Stable

        params = Stable
    fields = {name: _field(name, hint, closed) for name, hint in _hints(params).items()} | _FIELDS
    messages = get_args(fields["messages"])[0]
    fields["messages"] = Required[Annotated[messages, _MESSAGES]]
    return _typed_dict("Params", fields, "forbid" if closed else "ignore")


@functools.cache
def _hints(typed_dict: Any) -> dict[str, Any]:
    return get_type_hints(typed_dict, include_extras=True)


def _field(name: str, hint: Any, closed: bool) -> Any:
    checked = _check(hint, closed)
    if name in NULL_IN_RESPONSES:
        checked = checked | None
    # Not `__required_keys__`: it cannot see through the SDK's postponed annotations. All are `total=False`.
    return Required[checked] if get_origin(hint) is Required else NotRequired[checked]


def _typed_dict(name: str, fields: dict[str, Any], unknown: Any) -> Any:
    made: Any = cast(Any, TypedDict)(name, fields)
    made.__pydantic_config__ = ConfigDict(strict=True, extra=unknown)
    return made


@functools.cache
def _checked_typed_dict(typed_dict: Any, closed: bool) -> Any:
    fields = {name: _field(name, hint, closed) for name, hint in _hints(typed_dict).items()}
    if not closed:
        fields = {name: _or_null(field) for name, field in fields.items()}
    own = getattr(typed_dict, "__pydantic_config__", {}).get("extra")
    return _typed_dict(typed_dict.__name__, fields, own or ("forbid" if closed else "ignore"))


def _or_null(field: Any) -> Any:
    return field if get_origin(field) is Required else NotRequired[get_args(field)[0] | None]


def _check(hint: Any, closed: bool) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_typeddict(hint):
        return _checked_typed_dict(hint, closed)
    if origin in (Required, NotRequired, Annotated):
        return _check(arguments[0], closed)
    if origin in (Union, types.UnionType):
        return _checked_union(_choices(hint), closed)
    if origin in _LISTS:
        return list[_check(arguments[0], closed)]  # type: ignore[misc]
    if origin is dict:
        return dict[arguments[0], _check(arguments[1], closed)]  # type: ignore[valid-type,misc]
    if origin is Literal and not closed:
        return _union([type(value) for value in arguments])
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


def _checked_union(choices: list[Any], closed: bool) -> Any:
    objects = [choice for choice in choices if is_typeddict(choice)]
    tag_field = next((name for name in _TAG_FIELDS if all(_tags(choice, name) for choice in objects)), None)
    if len(objects) < 2 or tag_field is None:
        return _union([_check(choice, closed) for choice in choices])
    others = [_check(choice, closed) for choice in choices if not is_typeddict(choice)]
    return _union([*others, _tagged(objects, tag_field, closed)])


def _tags(typed_dict: Any, name: str) -> tuple[Any, ...]:
    """The values that tell an object apart: of a `Literal` field, or of an optional one."""
    return _literals(_hints(typed_dict).get(name))


def _literals(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(value for argument in get_args(hint) for value in _literals(argument))


def _tagged(objects: list[Any], tag_field: str, closed: bool) -> Any:
    def tag_of(value: Any) -> Any:
        tag = value.get(tag_field) if isinstance(value, dict) else None
        if tag is None or not isinstance(tag, str):
            return default if tag is None else None
        return tag if closed or tag in by_tag else _OF_AN_UNKNOWN_TYPE

    by_tag = {tag: choice for choice in objects for tag in _tags(choice, tag_field)}
    default = _TYPE_OF_A_TOOL_WITHOUT_ONE if _TYPE_OF_A_TOOL_WITHOUT_ONE in by_tag else None
    discriminator = Discriminator(
        tag_of,
        custom_error_type="unknown_tag",
        # Read by `complaints`; the context of a custom error would make the union unhashable.
        custom_error_message=" ".join((tag_field, *by_tag)),
    )
    tagged = [Annotated[_checked_typed_dict(choice, closed), Tag(tag)] for tag, choice in by_tag.items()]
    if not closed:
        tagged.append(Annotated[dict[str, Any], Tag(_OF_AN_UNKNOWN_TYPE)])
    return Annotated[_union(tagged), discriminator]


def _union(choices: list[Any]) -> Any:
    return Union[tuple(choices)]  # noqa: UP007

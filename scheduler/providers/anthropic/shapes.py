"""Params against the SDK's own types.

The SDK describes params as TypedDicts made for type checkers: lists are `Iterable` (which pydantic would check
lazily, that is never), unions are untagged (which pydantic reports branch by branch), unknown fields pass. So the
types are closed first: lists are lists, unions of objects are told apart by `type` or `role`, what is unknown is
an error, nothing is coerced.

That needs types which know all that the API takes. An SDK older than 2.12 does not, and must not refuse a newer
tool, field or value for that: there only what it does know is checked, and the API judges the rest.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ledger.errors import InvalidRequest
from scheduler.providers.anthropic.complaints import Complaint, complaint

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["check", "sdk_knows_all"]

_KNOWS_ALL_SINCE = (2, 12)

Kind = Literal["stable", "beta"]


def check(params: dict[str, Any]) -> None:
    """Raise `InvalidRequest` with the innermost path if params are not of the SDK's message creation type.

    Without betas the stable types are tried first. Where they fail the beta types decide; if both fail, the
    complaint that got further in is told. A beta that the installed SDK does not know may bring what it does not
    know either: then what is unknown passes.
    """
    betas = params.get("betas")
    complete = sdk_knows_all()
    closed = complete and (not isinstance(betas, list) or all(_is_known_beta(beta) for beta in betas))
    kinds: list[tuple[Kind, bool]] = [("beta", closed)] if betas else [("stable", complete), ("beta", complete)]
    complaints = []
    for kind, closed in kinds:
        found = _complaint(_shape(kind, closed=closed), params)
        if found is None:
            return
        complaints.append(found)
    deepest = max(complaints, key=lambda found: found.depth)
    raise InvalidRequest(deepest.path, deepest.reason)


@functools.cache
def sdk_knows_all() -> bool:
    """Whether the types of the installed SDK are as new as what this package knows of the API."""
    from anthropic import __version__

    return tuple(map(int, __version__.split(".")[:2])) >= _KNOWS_ALL_SINCE


class _Shape(NamedTuple):
    adapter: TypeAdapter[Any]
    fields: tuple[str, ...]


def _complaint(shape: _Shape, params: dict[str, Any]) -> Complaint | None:
    from pydantic import ValidationError

    try:
        shape.adapter.validate_python(params)
    except ValidationError as error:
        return complaint(params, error.errors(include_url=False), shape.fields)
    return None


@functools.cache
def _shape(kind: Kind, *, closed: bool) -> _Shape:
    from pydantic import TypeAdapter

    from scheduler.providers.anthropic.closing import checked_params

    params = checked_params(kind, closed=closed)
    return _Shape(TypeAdapter(params), tuple(sorted(params.__annotations__)))


@functools.cache
def _known_betas() -> frozenset[str]:
    from typing import get_args

    from anthropic.types import AnthropicBetaParam

    return frozenset(value for choice in get_args(AnthropicBetaParam) for value in get_args(choice))


def _is_known_beta(beta: object) -> bool:
    return isinstance(beta, str) and beta in _known_betas()

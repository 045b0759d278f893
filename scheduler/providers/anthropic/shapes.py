"""Params against the SDK's own types.

The SDK describes params as TypedDicts made for type checkers: lists are `Iterable` (which pydantic would check
lazily, that is never), unions are untagged (which pydantic reports branch by branch), unknown fields pass. So the
types are closed first: lists are lists, unions of objects are told apart by `type` or `role`, unknown fields are
errors, nothing is coerced.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ledger.errors import InvalidRequest
from scheduler.providers.anthropic.complaints import Complaint, complaint

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["check"]

Kind = Literal["stable", "beta"]


def check(params: dict[str, Any]) -> None:
    """Raise `InvalidRequest` with the innermost path if params are not of the SDK's message creation type.

    Without betas the stable types are tried first. Where they fail the beta types decide; if both fail, the
    complaint that got further in is told. A beta that the installed SDK does not know may bring fields that it
    does not know either: then unknown fields pass.
    """
    betas = params.get("betas")
    known = not isinstance(betas, list) or all(_is_known_beta(beta) for beta in betas)
    kinds: list[tuple[Kind, bool]] = [("beta", known)] if betas else [("stable", True), ("beta", True)]
    complaints = []
    for kind, closed in kinds:
        found = _complaint(_shape(kind, closed=closed), params)
        if found is None:
            return
        complaints.append(found)
    deepest = max(complaints, key=lambda found: found.depth)
    raise InvalidRequest(deepest.path, deepest.reason)


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

    from scheduler.providers.anthropic.closing import closed_params

    params = closed_params(kind, unknown_fields="forbid" if closed else "ignore")
    return _Shape(TypeAdapter(params), tuple(sorted(params.__annotations__)))


@functools.cache
def _known_betas() -> frozenset[str]:
    from typing import get_args

    from anthropic.types import AnthropicBetaParam

    return frozenset(value for choice in get_args(AnthropicBetaParam) for value in get_args(choice))


def _is_known_beta(beta: object) -> bool:
    return isinstance(beta, str) and beta in _known_betas()

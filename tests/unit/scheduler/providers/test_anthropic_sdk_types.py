"""What we assume about the SDK's types, so that an upgrade that breaks an assumption is seen."""

from __future__ import annotations

from typing import Any, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel
from typing_extensions import is_typeddict

from scheduler.providers.anthropic.closing import NULL_IN_RESPONSES, checked_params
from scheduler.providers.anthropic.shapes import sdk_knows_all


def leaves(hint: Any) -> list[Any]:
    return [leaf for choice in get_args(hint) for leaf in leaves(choice)] if get_origin(hint) else [hint]


def content_types(kind: str) -> list[Any]:
    if kind == "beta":
        from anthropic.types.beta import BetaMessageParam as Message
    else:
        from anthropic.types import MessageParam as Message  # type: ignore[assignment]
    return [leaf for message in get_args(Message) for leaf in leaves(get_type_hints(message)["content"])]


def nullable(hint: Any) -> bool:
    return type(None) in get_args(hint)


@pytest.mark.parametrize("kind", ["stable", "beta"])
def test_history_taken_from_responses_has_no_other_nulls_than_we_allow(kind: str) -> None:
    types = content_types(kind)
    params = {
        get_args(hints["type"])[0]: hints for leaf in types if is_typeddict(leaf) for hints in [get_type_hints(leaf)]
    }
    found = set()
    for model in types:
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields = model.model_fields
            param = params[get_args(fields["type"].annotation)[0]]
            found |= {
                name
                for name, field in fields.items()
                if name in param and nullable(field.annotation) and not nullable(param[name])
            }
    assert found == NULL_IN_RESPONSES if sdk_knows_all() else found <= NULL_IN_RESPONSES


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("kind", ["stable", "beta"])
def test_every_list_of_the_types_is_checked_when_it_is_seen(kind: Any, closed: bool) -> None:
    from pydantic import TypeAdapter

    schema = str(TypeAdapter(checked_params(kind, closed=closed)).core_schema)
    assert "'generator'" not in schema
    assert "tagged-union" in schema

"""Values that satisfy a schema."""

from __future__ import annotations

from typing import Any

import pytest

from llm_ledger.simulator.examples import example


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "example"),
        ({"type": "object"}, {}),
        ({"const": 7}, 7),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": "string", "default": "given"}, "given"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "maximum": -4}, -4),
        ({"type": "number", "exclusiveMinimum": 3}, 4),
        ({"type": "boolean"}, True),
        ({"type": ["null", "string"]}, None),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "maxLength": 3}, "exa"),
        ({"oneOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 1}),
        (
            {
                "allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {"type": "null"}}, "required": ["y"]}],
                "$defs": {"a": {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}},
            },
            {"x": 1, "y": None},
        ),
    ],
)
def test_the_smallest_fitting_value(schema: dict[str, Any], value: object) -> None:
    assert example(schema) == value


def test_a_schema_that_contains_itself_ends_somewhere() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert "next" in example(schema)

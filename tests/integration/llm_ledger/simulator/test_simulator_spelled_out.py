"""The simulated model calls a tool with the arguments that the question spells out, where the tool takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

Json = dict[str, Any]


def tool(name: str, /, **properties: Json) -> Json:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "input_schema": schema}


ADD = tool("add", a={"type": "integer", "minimum": 0}, b={"type": "number"})
GREET = tool("greet", name={"type": "string"}, tone={"type": "string", "enum": ["warm", "cold"]})
PING = tool("ping")


@pytest.fixture
def called(http: httpx2.Client, params: Callable[..., Json]) -> Callable[..., Json]:
    """Asks with tools and gives the tool call of the answer."""

    def ask(text: str, *tools: Json) -> Json:
        answer = http.post("/v1/messages", json=params(text, tools=tools)).json()
        return {key: answer["content"][0][key] for key in ("name", "input")}

    return ask


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is add(3, 4.5)?", {"name": "add", "input": {"a": 3, "b": 4.5}}),
        ('Call greet("Ada", "cold") now.', {"name": "greet", "input": {"name": "Ada", "tone": "cold"}}),
        ("First ping().", {"name": "ping", "input": {}}),
    ],
)
def test_a_written_call_is_made_as_written(called: Callable[..., Json], text: str, expected: Json) -> None:
    assert called(text, ADD, GREET, PING) == expected


@pytest.mark.parametrize("text", ["add(-1, 2)", "add(1)", "add(1, 2, 3)", "add(true, 2)", "add(x, y)", "readd(5, 5)"])
def test_what_a_tool_does_not_take_is_not_passed_to_it(called: Callable[..., Json], text: str) -> None:
    assert called(text, ADD) == {"name": "add", "input": {"a": 0, "b": 1}}


@pytest.mark.parametrize("text", ["Greet '你好' (it's a friend)", 'Greet "你好" and "others"'])
def test_quoted_words_fill_strings_of_any_kind(called: Callable[..., Json], text: str) -> None:
    assert called(text, GREET)["input"] == {"name": "你好", "tone": "warm"}


def test_a_schema_without_anything_takes_no_arguments(called: Callable[..., Json]) -> None:
    assert called("Do 'it'.", {"name": "do", "input_schema": {}}) == {"name": "do", "input": {}}

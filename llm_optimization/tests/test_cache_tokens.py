"""The estimate of tokens: the scheduler's, of any block at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_optimization.caching.tokens import estimate_tokens, weight
from scheduler.providers.anthropic.blocks import Block
from scheduler.providers.anthropic.prefix import fingerprint

MARK = {"type": "ephemeral"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
text_blocks = st.fixed_dictionaries(
    {"type": st.just("text"), "text": texts}, optional={"cache_control": st.just(MARK), "citations": st.none()}
)
images = st.just({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}})
pdfs = texts.map(lambda data: {"type": "document", "source": {"type": "base64", "data": data * 9}, "title": None})
calls = st.builds(
    lambda name, text: {"type": "tool_use", "id": "t", "name": name, "input": {"a": text}}, texts, texts
)
results = st.one_of(texts, st.lists(text_blocks | images, max_size=3)).map(
    lambda content: {"type": "tool_result", "tool_use_id": "t", "content": content, "cache_control": MARK}
)
blocks = st.one_of(text_blocks, images, pdfs, calls, results)


@given(st.lists(blocks, max_size=6))
@settings(deadline=None)
def test_a_prompt_weighs_what_the_fingerprint_says(prompt: list[dict[str, Any]]) -> None:
    _, tokens = fingerprint([Block("", "user", block) for block in prompt], automatic=False)
    assert estimate_tokens(sum(map(weight, prompt))) == tokens


def test_a_marker_weighs_nothing() -> None:
    for block in ({"type": "text", "text": "Grüße"}, {"name": "t", "input_schema": {"type": "object"}}):
        assert weight(block | {"cache_control": MARK}) == weight(block)


def test_the_estimate_is_linear() -> None:
    once, twice = (weight({"type": "text", "text": "word " * count}) for count in (1_000, 2_000))
    assert twice - once == 5_000
    assert estimate_tokens(once + twice) == pytest.approx(estimate_tokens(once) + estimate_tokens(twice), abs=1)


@pytest.mark.parametrize(
    "thing",
    [
        None,
        7,
        "text",
        object(),
        {},
        {"type": "text"},
        {"type": "text", "text": 3},
        {"type": "text", "text": "\ud800"},
        {"type": "x", "of": "\ud800"},
        {"type": "tool_use", "input": {1: object(), "huge": 10**40}},
        {"type": "document", "source": {"type": "base64"}},
        {"type": ["text"], "content": [None, "a", {}]},
        {"type": "document", "source": "file"},
    ],
)
def test_every_thing_has_a_weight(thing: object) -> None:
    assert weight(thing) >= 0


def test_a_block_within_itself_has_a_weight() -> None:
    call: dict[str, Any] = {"type": "tool_use", "input": {}}
    call["input"]["again"] = call
    assert weight(call) > 0

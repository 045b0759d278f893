"""When two prompts share a prefix, and how many tokens it is taken for."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scheduler.providers.anthropic import AnthropicRules

MARK = {"type": "ephemeral"}
Entry = tuple[str, int, bool]


def prefix(**fields: Any) -> tuple[Entry, ...]:
    base = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    return AnthropicRules().check(base | fields).prefix


def hashes(**fields: Any) -> list[str]:
    return [entry[0] for entry in prefix(**fields)]


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value} | fields


def said(*blocks: Any, role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": list(blocks)}]


def tool(name: str = "t", **fields: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object", "properties": {"a": {}, "b": {}}}} | fields


def test_entries_follow_tools_system_messages() -> None:
    entries = prefix(messages=said(text("c"), text("d")), system=[text("b", cache_control=MARK)], tools=[tool()])
    assert [marked for _, _, marked in entries] == [False, True, False, False]
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest, _, _ in entries)
    assert [entry[0] for entry in entries[:2]] == hashes(system=[text("b")], tools=[tool()])[:2]


def test_a_string_is_one_text_block() -> None:
    assert prefix(system="s", messages=[{"role": "user", "content": "x"}]) == prefix(
        system=[text("s")], messages=said(text("x"))
    )


def test_markers_model_and_order_of_fields_do_not_count() -> None:
    plain = hashes(system=[text("s")], messages=said(text("x")))
    assert plain == hashes(system=[text("s", cache_control=MARK)], messages=said({"text": "x", "type": "text"}))
    assert plain == hashes(system=[text("s", citations=None)], messages=said(text("x")), model="other")
    assert hashes(tools=[tool(cache_control=MARK)]) == hashes(tools=[dict(reversed(tool().items()))])


def test_a_marker_inside_of_a_tool_result_does_not_count_but_shows() -> None:
    def result(**fields: Any) -> dict[str, Any]:
        return {"type": "tool_result", "tool_use_id": "t", "content": [text("r", **fields)]}

    ((plain, _, unmarked),) = prefix(messages=said(result()))
    ((same, _, marked),) = prefix(messages=said(result(cache_control=MARK)))
    assert plain == same
    assert (unmarked, marked) == (False, True)


def test_a_field_of_a_schema_called_cache_control_counts() -> None:
    schema = {"type": "object", "cache_control": {"a": 1}}
    assert hashes(tools=[tool(input_schema=schema)]) != hashes(tools=[tool(input_schema={"type": "object"})])


def test_what_makes_another_prefix() -> None:
    base = hashes(system=[text("ab")], messages=said(text("x")))
    assert base[0] != hashes(system=[text("a"), text("b")])[1]
    assert base[0] != hashes(system=[text("ac")])[0]
    assert base[1] != hashes(system=[text("ab")], messages=said(text("x"), role="assistant"))[1]
    assert hashes(messages=said(text("x"))) != hashes(system=[text("x")])[:1]
    reordered = {"type": "object", "properties": {"b": {}, "a": {}}}
    assert hashes(tools=[tool()])[0] != hashes(tools=[tool(input_schema=reordered)])[0]


def test_the_automatic_marker_is_on_the_last_eligible_block() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    entries = prefix(messages=said(text("a"), text(""), thinking, role="assistant"), cache_control=MARK)
    assert [marked for _, _, marked in entries] == [True]
    assert prefix(messages=said(text("")), cache_control=MARK) == ()


def test_a_block_that_cannot_be_marked_counts_in_what_follows() -> None:
    def turn(thought: str) -> list[str]:
        thinking = {"type": "thinking", "thinking": thought, "signature": "s"}
        return hashes(messages=said(thinking, text("a"), role="assistant"))

    assert len(turn("x")) == 1
    assert turn("x") != turn("y")


def test_tokens_are_linear_in_bytes_and_independent_of_the_cuts() -> None:
    facts = AnthropicRules().check(
        {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "ü" * 3_500}]}
    )
    assert 2_000 <= facts.estimated_input_tokens <= 2_010
    assert facts.prefix[-1][1] == facts.estimated_input_tokens


def test_images_and_documents_do_not_cost_their_bytes() -> None:
    def tokens(kind: str, media_type: str) -> int:
        source = {"type": "base64", "media_type": media_type, "data": "A" * 640_000}
        inner = prefix(messages=said({"type": kind, "source": source}))[0][1]
        held = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": kind, "source": source}]}
        assert prefix(messages=said(held))[0][1] == inner
        return inner

    assert tokens("image", "image/png") == 1_600
    assert tokens("document", "application/pdf") == 20_000


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=6))
def test_prompts_share_exactly_their_common_blocks(texts: list[str]) -> None:
    whole = prefix(messages=said(*map(text, texts)))
    part = prefix(messages=said(*map(text, texts[:-1]), text(texts[-1] + "!")))
    assert whole[:-1] == part[:-1]
    assert whole[-1][0] != part[-1][0]
    counts = [tokens for _, tokens, _ in whole]
    assert counts == sorted(counts)

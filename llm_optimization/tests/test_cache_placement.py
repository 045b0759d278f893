"""Where breakpoints go: a pure decision, seen through the params of a call."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidRequest
from llm_optimization.caching.params import Marked, mark_params
from llm_optimization.caching.placement import Placement, Ttl, place
from llm_optimization.caching.plan import Policy
from llm_optimization.caching.positions import Position
from scheduler.providers.anthropic.blocks import prompt_blocks
from scheduler.providers.anthropic.breakpoints import count_breakpoints

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
LONG = "A fact worth keeping. " * 200
TOOL = {"name": "search", "description": "Finds.", "input_schema": {"type": "object"}}


def text(value: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value} | fields


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks) if blocks else "hi"}


def answer(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks) if blocks else "yes"}


def calls(*ids: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"type": "tool_use", "id": name, "name": "search", "input": {}} | fields for name in ids]


def results(*ids: str) -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": name, "content": "found"} for name in ids]


def prompt(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 1, "messages": list(messages)} | fields


def mark(params: dict[str, Any], breakpoints: Any = "auto", ttl: Ttl = "5m", minimum: int | None = None) -> Marked:
    return mark_params(params, Policy(breakpoints, ttl, minimum))


def marks(params: Any) -> dict[str, str]:
    """Path of each marked block → lifetime."""
    blocks = ((block.path, block.value.get("cache_control")) for block in prompt_blocks(params))
    return {path: control.get("ttl", "5m") for path, control in blocks if control}


def placed(*messages: Any, **fields: Any) -> list[str]:
    return list(marks(mark(prompt(*messages, **fields)).params))


# The rule


def test_the_end_of_the_system_prompt_covers_the_tools() -> None:
    assert placed(user(), system="rules", tools=[TOOL, TOOL]) == ["system.0", "messages.0.content.0"]
    assert placed(user(), system=[text("a"), text("b")])[:1] == ["system.1"]


def test_tools_are_marked_where_no_system_prompt_can_be() -> None:
    assert placed(user(), tools=[TOOL, TOOL]) == ["tools.1", "messages.0.content.0"]
    assert placed(user(), tools=[TOOL], system=[text("")]) == ["tools.0", "messages.0.content.0"]
    assert placed(user(), tools=[TOOL, TOOL | {"defer_loading": True}])[0] == "tools.0"


def test_the_end_is_marked_once_the_conversation_has_grown() -> None:
    assert placed(user(), user()) == ["messages.0.content.0"]
    assert placed(user(), answer(), user()) == ["messages.0.content.0", "messages.2.content.0"]


def test_long_messages_are_marked_from_the_last_on() -> None:
    long = user(text(LONG))
    assert placed(user(), long, user()) == ["messages.0.content.0", "messages.1.content.0"]
    assert placed(long, long, long, answer(), user(), system="s") == [
        "system.0",
        "messages.0.content.0",
        "messages.2.content.0",
        "messages.4.content.0",
    ]


def test_a_prefill_is_not_marked_nor_does_it_count_as_an_answer() -> None:
    assert placed(user(), answer(text("{"))) == ["messages.0.content.0"]
    assert placed(user(), answer(), user(), answer(text("{"))) == ["messages.0.content.0", "messages.2.content.0"]


def test_a_paused_turn_is_an_end() -> None:
    turn = answer(text("let me see"), {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
    assert placed(user(), turn) == ["messages.0.content.0", "messages.1.content.0"]


@pytest.mark.parametrize(("added", "expected"), [(18, False), (19, True)])
def test_a_long_turn_gets_an_intermediate_breakpoint(added: int, expected: bool) -> None:
    """The end sees 20 positions, its own among them: the answer's `added` ones, itself, and the one before."""
    grown = [user(), answer(), user(text("then")), answer(*[text()] * added), user()]
    assert ("messages.2.content.0" in placed(*grown)) is expected


def test_a_run_of_calls_or_results_is_one_position() -> None:
    names = [f"t{number}" for number in range(40)]
    grown = [user(), answer(), user(text("then")), answer(*calls(*names)), user(*results(*names))]
    assert placed(*grown) == ["messages.0.content.0", "messages.4.content.39"]


def test_what_takes_no_marker_is_passed_over() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    by_code = calls("t", caller={"type": "code_execution_20260120", "tool_id": "x"})
    odd = [user(text(), text(""), text(" \n")), answer(thinking, *by_code), user(*results("t"))]
    assert placed(*odd) == ["messages.0.content.0"]
    cited = answer(text("quote", citations=[{"type": "char_location", "cited_text": LONG * 3}]))
    assert placed(user(), cited, user())[1:] == ["messages.1.content.0", "messages.2.content.0"]


def test_the_minimum_counts_the_whole_prefix() -> None:
    params = prompt(user(text(LONG)), answer(), user(), system="short")
    made = mark(params, minimum=1_000)
    assert list(marks(made.params)) == ["messages.0.content.0", "messages.2.content.0"]
    assert (made.markers, made.below_minimum) == (2, False)
    short = mark(params, minimum=9_000)
    assert short.params is params
    assert (short.markers, short.below_minimum) == (0, True)


def test_what_the_provider_says_before_the_tools_counts_too() -> None:
    params = prompt(user(text("x" * 3_150)))
    assert [mark(params, minimum=minimum).markers for minimum in (902, 903)] == [1, 0]
    tools = prompt(user(text("x" * 3_150)), tools=[TOOL])
    least = 300 + 923
    assert [mark(tools, minimum=minimum).markers for minimum in (least, least + 1)] == [1, 0]


# Breakpoints that are there already


def test_breakpoints_present_are_kept_and_counted() -> None:
    present = prompt(user(*[text(cache_control=MARK)] * 3, text()), answer(), user(), system="rules")
    assert list(marks(mark(present).params)) == [f"messages.0.content.{at}" for at in range(3)] + [
        "messages.2.content.0"
    ]
    within = {"type": "tool_result", "tool_use_id": "t", "content": [text(cache_control=MARK)] * 4}
    full = prompt(user(), answer(*calls("t")), user(within), system="rules")
    assert mark(full).params is full
    document = {"type": "document", "source": {"type": "content", "content": [text(cache_control=MARK)] * 4}}
    full = prompt(user(document), answer(), user())
    assert mark(full).params is full


def test_the_automatic_breakpoint_is_one_of_the_four() -> None:
    params = prompt(user(), answer(), user(text()), system="rules", cache_control=MARK)
    assert placed(*params["messages"], system="rules", cache_control=MARK) == ["system.0", "messages.0.content.0"]
    four = prompt(user(*[text(cache_control=MARK)] * 3), answer(), user(), system="rules", cache_control=MARK)
    assert mark(four).params is four


@pytest.mark.parametrize(
    ("present", "ttl", "expected"),
    [
        (HOUR, "5m", ["1h", "1h", "1h", "5m"]),
        (HOUR, "1h", ["1h", "1h", "1h", "1h"]),
        (MARK, "5m", ["5m", "5m", "5m", "5m"]),
        (MARK, "1h", ["1h", "1h", "5m", "5m"]),
    ],
)
def test_an_hour_stays_before_five_minutes(present: dict[str, str], ttl: Ttl, expected: list[str]) -> None:
    grown = prompt(user(), answer(text(cache_control=present)), user(), system="rules")
    assert list(marks(mark(grown, ttl=ttl).params).values()) == expected


def test_what_the_provider_will_refuse_is_left_to_it() -> None:
    wrong = prompt(user(text(cache_control=MARK), text(cache_control=HOUR)), answer(), user())
    assert mark(wrong).params is wrong
    many = prompt(user(*[text(cache_control=MARK)] * 5), answer(), user())
    assert mark(many).params is many


# By hand


def test_texts_are_cut_where_they_are_marked() -> None:
    made = mark(prompt(user(text("facts[CACHE_BREAKPOINT]question", cache_control=HOUR))), "manual").params
    assert made["messages"] == [user(text("facts", cache_control=HOUR), text("question", cache_control=HOUR))]
    made = mark(prompt(user(), system="rules[CACHE_BREAKPOINT]\n"), "manual").params
    assert (made["system"], made["messages"]) == ([text("rules", cache_control=MARK)], [user()])


def test_a_marker_with_nothing_before_it_speaks_for_the_block_before() -> None:
    made = mark(prompt(user(text("facts"), text("[CACHE_BREAKPOINT]question"))), "manual").params
    assert made["messages"] == [user(text("facts", cache_control=MARK), text("question"))]
    made = mark(prompt(user(), user(text("[CACHE_BREAKPOINT]")), user(text("q")), system="s"), "manual").params
    assert (marks(made), len(made["messages"])) == ({"messages.0.content.0": "5m"}, 2)
    made = mark(prompt(user(text("q")), system="[CACHE_BREAKPOINT]"), "manual").params
    assert made == prompt(user(text("q")))
    made = mark(prompt(user(text("[CACHE_BREAKPOINT]")), user(text("q")))).params
    assert made["messages"] == [user(text("q", cache_control=MARK))]


def test_the_first_and_the_last_of_many_markers_count() -> None:
    many = user(text("[CACHE_BREAKPOINT]".join("abcdefg")))
    made = mark(prompt(many, answer(), user(), system="s"))
    assert list(marks(made.params)) == [f"messages.0.content.{at}" for at in (0, 3, 4, 5)]
    assert [block["text"] for block in made.params["messages"][0]["content"]] == list("abcdefg")


def test_what_the_model_and_the_tools_say_is_not_cut() -> None:
    found = results("t")[0] | {"content": "a[CACHE_BREAKPOINT]b"}
    said = prompt(user(), answer(text("a[CACHE_BREAKPOINT]b"), *calls("t")), user(found))
    assert mark(said, "manual").params is said


def test_none_only_removes_the_markers() -> None:
    made = mark(prompt(user(text("a[CACHE_BREAKPOINT]b")), system="s"), "none")
    assert made.params == prompt(user(text("a"), text("b")), system="s")
    assert (made.markers, made.below_minimum) == (0, False)


# For every prompt

SPOKEN = st.sampled_from(["a", "", " ", "x[CACHE_BREAKPOINT]y", "[CACHE_BREAKPOINT]", LONG])
CONTROL = st.fixed_dictionaries({}, optional={"cache_control": st.sampled_from([MARK, HOUR, None])})
BLOCK = st.one_of(
    SPOKEN.map(text),
    st.sampled_from(
        [
            {"type": "thinking", "thinking": "", "signature": "s"},
            {"type": "image", "source": {"type": "url", "url": "u"}},
            *calls("a"),
            *calls("c", caller={"type": "code_execution_x", "tool_id": "x"}),
            *results("a", "c"),
            results("a")[0] | {"content": [text(), text(cache_control=MARK)]},
            {"type": "web_search_tool_result", "tool_use_id": "w", "content": []},
        ]
    ),
    st.builds(lambda block, control: block | control, st.just(text("m")), CONTROL),
)
RUN = st.builds(lambda block, count: [block] * count, BLOCK, st.integers(19, 45))
CONTENT = st.one_of(SPOKEN, st.lists(BLOCK, max_size=5), RUN)
MESSAGE = st.builds(
    lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "assistant"]), CONTENT
)
PARAMS = st.builds(
    lambda messages, rest, control: {"model": "m", "messages": messages} | rest | control,
    st.lists(MESSAGE, max_size=6),
    st.fixed_dictionaries({}, optional={"system": CONTENT, "tools": st.lists(st.just(TOOL), max_size=3)}),
    CONTROL,
)
MODES = st.sampled_from(["auto", "manual", "none"])
TTLS = st.sampled_from(["5m", "1h"])
MINIMUMS = st.sampled_from([None, 1, 1_000, 10**6])


def accepted(params: dict[str, Any]) -> int | None:
    try:
        return count_breakpoints(list(prompt_blocks(params)), params.get("cache_control"))
    except InvalidRequest:
        return None


def unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: unmarked(inner) for name, inner in value.items() if name != "cache_control"}
    return [unmarked(inner) for inner in value] if isinstance(value, list) else value


def spoken(params: dict[str, Any]) -> list[tuple[str, str]]:
    """Voice and content of the whole prompt without markers, texts that follow each other in one piece."""
    said: list[tuple[str, str]] = []
    for _, voice, block in prompt_blocks(unmarked(params)):
        if block.get("type") != "text":
            said.append((voice, repr(block)))
        elif (
            (piece := "".join(block["text"].replace("[CACHE_BREAKPOINT]", "").split()))
            and said
            and said[-1][0] == voice
        ):
            said[-1] = (voice, said[-1][1] + piece)
        elif piece:
            said.append((voice, piece))
    return said


@given(PARAMS, MODES, TTLS, MINIMUMS)
@settings(deadline=None, max_examples=80)
def test_marked_params_are_as_acceptable_as_the_given_ones(
    params: dict[str, Any], mode: Any, ttl: Ttl, minimum: int | None
) -> None:
    before = copy.deepcopy(params)
    made = mark(params, mode, ttl, minimum)
    assert params == before, "what was given has changed"
    given, now = accepted(params), accepted(made.params)  # type: ignore[arg-type]
    if given is None:
        assert now is None
        assert made.markers == 0
    else:
        assert now == given + made.markers <= 4
    if given is not None and not made.markers and "[CACHE_BREAKPOINT]" not in repr(params):
        assert made.params is params


@given(PARAMS, MODES, TTLS, MINIMUMS)
@settings(deadline=None, max_examples=80)
def test_marking_twice_is_marking_once(params: dict[str, Any], mode: Any, ttl: Ttl, minimum: int | None) -> None:
    once = mark(params, mode, ttl, minimum).params
    assert mark(once, mode, ttl, minimum).params == once  # type: ignore[arg-type]


@given(PARAMS, MODES, TTLS, MINIMUMS)
@settings(deadline=None, max_examples=80)
def test_nothing_but_markers_is_added_or_lost(
    params: dict[str, Any], mode: Any, ttl: Ttl, minimum: int | None
) -> None:
    made: Any = mark(params, mode, ttl, minimum).params
    assert spoken(made) == spoken(params)
    assert {name: made[name] for name in made if name not in ("tools", "system", "messages")} == {
        name: params[name] for name in params if name not in ("tools", "system", "messages")
    }


@given(
    st.lists(st.tuples(st.booleans(), st.lists(TTLS, max_size=1)), max_size=12),
    st.lists(st.integers(0, 11), max_size=8),
    TTLS,
    MINIMUMS,
)
@settings(deadline=None, max_examples=80)
def test_placing_keeps_the_order_of_worth(
    blocks: list[tuple[bool, list[str]]], wanted: list[int], ttl: Ttl, minimum: int | None
) -> None:
    prompt = [
        Position(0, at, at, 100 * at, free, eligible=True, ttls=tuple(ttls)) for at, (free, ttls) in enumerate(blocks)
    ]
    wanted = [index for index in wanted if index < len(prompt) and prompt[index].free]
    placement = place(prompt, wanted, ttl=ttl, minimum=minimum)
    chosen = {index for index, _ in placement.marks}
    assert list(placement.marks) == sorted(placement.marks)
    if placement == Placement():
        return
    last = max(map(wanted.index, chosen), default=-1)
    for index in set(wanted) - chosen:
        too_short = minimum is not None and prompt[index].tokens < minimum
        assert prompt[index].ttls or too_short or wanted.index(index) > last


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"messages": None},
        {"messages": [3]},
        {"messages": [{}]},
        {"messages": [{"role": ["user"], "content": 7}], "system": 3, "tools": {"a": 1}, "cache_control": "on"},
        {"messages": [{"role": "user", "content": [None, 3, [], {"type": 4}, {"type": "text"}, {"text": "x"}]}]},
        {"messages": [{"role": "user", "content": []}], "system": [], "tools": [None, {"name": "x"}, 3]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": [1], "content": 3}]}]},
    ],
)
def test_params_of_a_wrong_shape_raise_nothing(params: dict[str, Any]) -> None:
    before = copy.deepcopy(params)
    mark(params)
    assert params == before

"""The cache manager: LangChain messages and params in, breakpoints where they pay, and the provider reads them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from anthropic import Anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool

from ledger.errors import InputError
from llm_ledger.simulator import RunningSimulator
from llm_optimization.cache_manager import CacheCounts, CacheManager
from llm_optimization.capabilities import ProviderCapabilities
from llm_optimization.config import OptimizationConfig
from scheduler.providers.anthropic import AnthropicRules

MODEL = "claude-sonnet-4-6"
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
LONG = "A fact worth keeping. " * 200


def manager(provider: str = "anthropic", **fields: Any) -> CacheManager:
    config = OptimizationConfig(**{"optimization_enabled": True, "caching_enabled": True} | fields)
    return CacheManager(ProviderCapabilities.detect(provider), config)


def block(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value} | fields


def marked(value: str, control: dict[str, str] = MARK) -> list[dict[str, Any]]:
    return [block(value, cache_control=control)]


def contents(messages: list[Any]) -> list[Any]:
    return [message.content for message in messages]


# The checklist


def test_add_cache_markers_anthropic() -> None:
    messages = [
        SystemMessage("rules"),
        HumanMessage("facts", id="h", name="Ada", additional_kwargs={"x": 1}),
        AIMessage("yes"),
        HumanMessage([block("and"), "then?"]),
    ]
    before = copy.deepcopy(messages)
    made = manager().add_cache_markers(messages)
    assert contents(made) == [marked("rules"), marked("facts"), "yes", [block("and"), *marked("then?")]]
    assert (made[1].id, made[1].name, made[1].additional_kwargs) == ("h", "Ada", {"x": 1})
    assert messages == before
    assert made[2] is messages[2]
    assert manager()._add_anthropic_cache_markers(messages) == made


def test_cache_ttl_configuration() -> None:
    for ttl, control in ((300, MARK), (3_600, HOUR)):
        made = manager(cache_ttl=ttl).add_cache_markers([SystemMessage("rules"), HumanMessage("hi")])
        assert contents(made) == [marked("rules", control), marked("hi", control)]


def test_auto_detect_system_prompt() -> None:
    messages = [SystemMessage("a"), SystemMessage("b"), HumanMessage("hi"), AIMessage("yes"), HumanMessage("so")]
    assert contents(manager().add_cache_markers(messages))[:2] == ["a", marked("b")]
    caches = manager()._should_cache_message
    assert [caches(message, at, 5) for at, message in enumerate(messages)] == [True, True, False, False, False]
    assert not caches(SystemMessage(""), 0, 1)


def test_auto_detect_long_content() -> None:
    messages = [HumanMessage("hi"), HumanMessage(LONG), HumanMessage("so")]
    assert contents(manager().add_cache_markers(messages)) == [marked("hi"), marked(LONG), "so"]
    caches = manager()._should_cache_message
    assert caches(AIMessage(LONG), 7, 9)
    edge = "x" * (1_024 * 7 // 2 - len("text:"))
    assert not caches(HumanMessage(edge), 7, 9)
    assert caches(HumanMessage(edge + "x"), 7, 9)


def test_auto_detect_first_message() -> None:
    messages = [SystemMessage("s"), HumanMessage("one"), HumanMessage("two")]
    assert contents(manager().add_cache_markers(messages)) == [marked("s"), marked("one"), "two"]
    caches = manager()._should_cache_message
    assert caches(HumanMessage("one"), 0, 2)
    assert caches(HumanMessage("one"), 1, 2)
    assert not caches(HumanMessage("two"), 2, 3)
    assert not caches(AIMessage("yes"), 1, 3)


def test_manual_breakpoints() -> None:
    messages: list[AnyMessage] = [
        SystemMessage("rules[CACHE_BREAKPOINT]of today"),
        HumanMessage([block("facts"), block("more [CACHE_BREAKPOINT]")]),
        HumanMessage("[CACHE_BREAKPOINT]"),
        HumanMessage("question"),
    ]
    made = manager(cache_breakpoints="manual").add_cache_markers(messages)
    assert contents(made) == [[*marked("rules"), block("of today")], [block("facts"), *marked("more ")], "question"]
    made = manager(cache_breakpoints="none").add_cache_markers(messages)
    assert contents(made) == [[block("rules"), block("of today")], [block("facts"), block("more ")], "question"]
    made = manager().add_cache_markers(messages)
    assert contents(made)[0] == [*marked("rules"), *marked("of today")]


def test_no_markers_when_disabled() -> None:
    messages = [SystemMessage("rules[CACHE_BREAKPOINT]"), HumanMessage(LONG)]
    params = {"messages": [{"role": "user", "content": LONG}]}
    for fields in ({"caching_enabled": False}, {"optimization_enabled": False}):
        off = manager(**fields)
        made = off.add_cache_markers(messages)
        assert made is not messages
        assert all(now is before for now, before in zip(made, messages, strict=True))
        assert off.mark_params(params).params is params
        assert off.counts == CacheCounts(left_alone=2)


@pytest.mark.parametrize("provider", ["openAI", "azureOpenAI", "gemini", "bedrock", "ollama", "somebody"])
def test_openai_automatic_caching(provider: str) -> None:
    messages = [SystemMessage("rules"), HumanMessage(LONG)]
    params = {"messages": [{"role": "user", "content": LONG}]}
    untouched = manager(provider)
    assert all(now is then for now, then in zip(untouched.add_cache_markers(messages), messages, strict=True))
    assert untouched.mark_params(params).params is params
    assert untouched.counts == CacheCounts(left_alone=2)


# Messages of every kind


def test_dicts_pairs_and_texts_are_messages_too() -> None:
    given = [{"role": "system", "content": "s"}, ("human", "one"), ("ai", "yes"), "two"]
    before = copy.deepcopy(given)
    assert manager().add_cache_markers(given) == [
        {"role": "system", "content": marked("s")},
        ("human", marked("one")),
        ("ai", "yes"),
        ("human", marked("two")),
    ]
    assert given == before


def test_a_tool_result_is_marked_as_a_block_that_every_release_sends_on() -> None:
    call = {"id": "t1", "name": "search", "args": {}}
    talk = [
        HumanMessage("look"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("found", tool_call_id="t1", status="error"),
    ]
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "found", "is_error": True, "cache_control": MARK}
    made = manager().add_cache_markers(talk)
    assert contents(made) == [marked("look"), "", [result]]
    assert wire(made)["messages"][2]["content"] == [result]
    assert unmarked(wire(made)) == blocks_of(wire(talk))
    again = manager().add_cache_markers(made)
    assert all(now is then for now, then in zip(again, made, strict=True))
    dicts = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": [block("found")]},
    ]
    last = manager().add_cache_markers(dicts)[-1]["content"]
    assert last == [result | {"is_error": False, "content": [block("found")]}]


def test_calls_beside_the_content_count_as_positions() -> None:
    def turn(number: int) -> list[BaseMessage]:
        call = {"id": f"t{number}", "name": "search", "args": {"q": number}}
        used = {"type": "tool_use", "id": call["id"], "name": "search", "input": {}}
        said = AIMessage([block("so"), used] if number % 2 else "", tool_calls=[call])
        return [said, ToolMessage("found", tool_call_id=call["id"])]

    talk = [SystemMessage("s"), HumanMessage("look"), *(message for number in range(12) for message in turn(number))]
    made = manager().add_cache_markers(talk, tools=[search, {"name": "other", "input_schema": {}}, object()])
    assert [at for at, (now, then) in enumerate(zip(made, talk, strict=True)) if now is not then] == [0, 1, 25]


def test_a_message_put_together_from_a_stream_is_one_of_the_assistants() -> None:
    talk = [SystemMessage(LONG), HumanMessage("One?"), AIMessage("One."), HumanMessage("Two?")]
    streamed = [*talk[:2], AIMessageChunk("One."), talk[3]]
    marked = [isinstance(message.content, list) for message in manager().add_cache_markers(streamed)]
    assert marked == [isinstance(message.content, list) for message in manager().add_cache_markers(talk)]
    assert marked == [True, True, False, True]


def test_thinking_empty_and_foreign_contents_are_left_as_they_are() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    talk = [
        HumanMessage(""),
        AIMessage([thinking]),
        SystemMessage("aside"),
        ChatMessage(LONG, role="critic"),
        AIMessage([block(LONG)], response_metadata={"output_version": "v1"}),
        HumanMessage([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]),
    ]
    made = manager().add_cache_markers(talk)
    assert all(now is then for now, then in zip(made, talk, strict=True))


@pytest.mark.parametrize("thing", [None, 7, {"text": "hi"}, {"role": "user"}, ("a", "b", "c"), ["human", "hi"]])
def test_what_is_no_message_is_said(thing: object) -> None:
    with pytest.raises(InputError, match=r"message 1 is .*, no message"):
        manager().add_cache_markers([HumanMessage("hi"), thing])


def test_a_strange_content_passes() -> None:
    given = [{"role": "user", "content": 7}, {"role": "user", "content": [3, None]}]
    assert manager().add_cache_markers(given) == given


# Counting


def test_prompts_are_counted() -> None:
    counting = manager()
    params = {"model": MODEL, "messages": [{"role": "user", "content": "short"}]}
    made = counting.mark_params(params)
    assert (made.params, made.markers, made.below_minimum) == (params, 0, True)
    counting.mark_params({**params, "model": "a-model-nobody-knows"})
    counting.mark_params({"messages": []})
    counting.add_cache_markers([HumanMessage(LONG)], model=MODEL)
    counting.add_cache_markers([HumanMessage(LONG)], model="claude-haiku-4-5")
    counting.add_cache_markers([HumanMessage(LONG)], model="claude-haiku-4-5", tools=[{"description": LONG * 4}])
    assert counting.counts == CacheCounts(marked=3, below_minimum=2, left_alone=1)


# What the provider makes of it


@tool
def search(query: str) -> str:
    """Find what is known about a question."""
    return query


def chat(simulator: RunningSimulator | None = None, key: str = "k") -> ChatAnthropic:
    url = simulator.base_url if simulator else "http://127.0.0.1:9"
    return ChatAnthropic(model=MODEL, max_tokens=16, api_key=key, base_url=url)


def wire(messages: list[Any]) -> dict[str, Any]:
    return chat()._get_request_payload(messages)


def blocks_of(params: dict[str, Any]) -> list[Any]:
    from scheduler.providers.anthropic.blocks import prompt_blocks

    return [(voice, value) for _, voice, value in prompt_blocks(params)]


def unmarked(params: dict[str, Any]) -> list[Any]:
    return [
        (voice, {name: value for name, value in found.items() if name != "cache_control"})
        for voice, found in blocks_of(params)
    ]


def conversation(turns: int, calls: int = 1) -> list[list[BaseMessage]]:
    """The prompts of a conversation with tools, one for each of its requests."""
    talk: list[BaseMessage] = [SystemMessage("Be of help. " * 400), HumanMessage("Where are we?")]
    prompts = [list(talk)]
    for turn in range(turns):
        names = [f"t{turn}x{number}" for number in range(calls)]
        talk.append(
            AIMessage("", tool_calls=[{"id": name, "name": "search", "args": {"query": "x"}} for name in names])
        )
        talk += [ToolMessage(f"found {name}. " * 50, tool_call_id=name) for name in names]
        prompts.append(list(talk))
    return prompts


def test_messages_and_params_are_marked_alike() -> None:
    for talk in conversation(3, calls=2):
        rules = AnthropicRules()
        marked_here = wire(manager().add_cache_markers(talk))
        marked_there = manager().mark_params(wire(talk)).params
        prefixes = [rules.check(params).prefix for params in (marked_here, dict(marked_there))]  # type: ignore[arg-type]
        assert prefixes[0] == prefixes[1]


@pytest.mark.parametrize("calls", [1, 30])
def test_each_request_of_a_conversation_reads_all_of_the_one_before(simulator: RunningSimulator, calls: int) -> None:
    model = chat(simulator, f"talk-{calls}").bind_tools([search])
    total = 0
    for prompt in conversation(4, calls):
        usage = model.invoke(manager().add_cache_markers(prompt, tools=[search])).response_metadata["usage"]
        assert usage["cache_read_input_tokens"] == total
        total = usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
        assert usage["input_tokens"] == 0


def test_a_turn_of_more_than_twenty_blocks_is_read_through_its_intermediate_breakpoint(
    simulator: RunningSimulator,
) -> None:
    said = [{"role": "user", "content": "Tell me. " * 600}, {"role": "assistant", "content": "Yes."}]
    first = {"model": MODEL, "max_tokens": 8, "messages": [*said, {"role": "user", "content": "More. " * 500}]}
    paragraphs = [block(f"Paragraph {number}.") for number in range(40)]
    second = first | {
        "messages": [
            *first["messages"],
            {"role": "assistant", "content": paragraphs},
            {"role": "user", "content": "And?"},
        ]
    }
    with Anthropic(api_key="long-turn", base_url=simulator.base_url) as client:
        wrote = client.messages.create(**manager().mark_params(first).params).usage  # type: ignore[arg-type]
        read = client.messages.create(**manager().mark_params(second).params).usage  # type: ignore[arg-type]
    assert read.cache_read_input_tokens == wrote.cache_creation_input_tokens
    assert read.input_tokens == 0


def test_prompts_that_share_the_system_prompt_read_it(simulator: RunningSimulator) -> None:
    given = [
        {
            "model": MODEL,
            "max_tokens": 8,
            "system": "Be of help. " * 400,
            "messages": [{"role": "user", "content": f"Question {number}?"}],
        }
        for number in range(3)
    ]
    marking = manager(cache_ttl=3_600)
    with Anthropic(api_key="shared", base_url=simulator.base_url) as client:
        reads = [
            client.messages.create(**marking.mark_params(params).params).usage.cache_read_input_tokens  # type: ignore[arg-type]
            for params in given
        ]
    assert reads == [0, 1_200, 1_200]


def test_cache_with_real_api(simulator: RunningSimulator) -> None:
    """Markers are accepted, the second request reads, and the bill has nine tenths off what was read. The API is the
    simulator's; nothing of this file knows that but the address.
    """
    model = chat(simulator, "real")
    account = simulator.account("real")
    bills, usages = [0], []
    for question in ("Where are we?", "Who are you?"):
        messages = manager().add_cache_markers([SystemMessage("Be of help. " * 400), HumanMessage(question)])
        usages.append(model.invoke(messages).response_metadata["usage"])
        bills.append(simulator.bill()["accounts"][account]["total_pico_usd"])
    wrote, read = usages
    assert (wrote["cache_read_input_tokens"], read["cache_read_input_tokens"]) == (0, 1_200)
    at_full_price = 3_000_000 * read["input_tokens"] + 15_000_000 * read["output_tokens"]
    written = 3_750_000 * read["cache_creation_input_tokens"]
    assert bills[2] - bills[1] == at_full_price + written + 3_000_000 * 1_200 // 10
    assert read["cache_read_input_tokens"] / (1_200 + read["cache_creation_input_tokens"]) > 0.99

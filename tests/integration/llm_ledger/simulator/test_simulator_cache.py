"""The prompt cache: what is read, written for five minutes, for an hour, and not cached, token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import pytest

from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running

Json = dict[str, Any]
Ask = Callable[..., tuple[int, int, int, int]]
Finish = Callable[..., dict[str, Json]]

MINUTE = 60
FIVE = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TAIL = 4 + 1  # a message of four letters


def text(tokens: int, mark: Json | None = None, fill: str = "x") -> Json:
    return {"type": "text", "text": fill * 4 * tokens, **({"cache_control": mark} if mark else {})}


def split(usage: Any) -> tuple[int, int, int, int]:
    """Uncached, written for 5 minutes, written for an hour, read."""
    created = usage["cache_creation"]
    assert usage["cache_creation_input_tokens"] == sum(created.values())
    return (
        usage["input_tokens"],
        created["ephemeral_5m_input_tokens"],
        created["ephemeral_1h_input_tokens"],
        usage["cache_read_input_tokens"],
    )


@pytest.fixture
def ask(client: anthropic.Anthropic) -> Ask:
    def call(content: Any = "tail", *, model: str = "claude-opus-5-5", **fields: Any) -> tuple[int, int, int, int]:
        turns = fields.pop("messages", [{"role": "user", "content": content}])
        message = client.messages.create(model=model, max_tokens=8, messages=turns, **fields)
        return split(message.usage.to_dict())

    return call


def test_what_one_request_writes_the_next_one_reads(ask: Ask) -> None:
    assert ask(system=[text(1000, FIVE)]) == (TAIL, 1000, 0, 0)
    assert ask(system=[text(1000, FIVE)]) == (TAIL, 0, 0, 1000)
    assert ask(system=[text(1000, FIVE, fill="y")]) == (TAIL, 1000, 0, 0)
    assert ask(system=[text(1000)]) == (TAIL + 1000, 0, 0, 0)


def test_the_marker_is_no_part_of_the_prefix(ask: Ask) -> None:
    ask(system=[text(600, FIVE), text(200)])
    assert ask(system=[text(600), text(200, FIVE)]) == (TAIL, 200, 0, 600)
    assert ask(system=[text(600), text(200, HOUR)]) == (TAIL, 0, 0, 800)


def test_tools_come_before_system_before_messages(ask: Ask) -> None:
    tool = {"name": "t", "input_schema": {"type": "object"}, "description": "d" * 4000}
    first = ask(tools=[{**tool, "cache_control": FIVE}], system=[text(600, FIVE)], tool_choice={"type": "none"})
    tools = first[1] - 600
    assert tools > 1000
    changed = ask(tools=[{**tool, "cache_control": FIVE}], system=[text(600, FIVE, fill="y")])
    assert changed == (TAIL, 600, 0, tools)


def test_a_string_is_the_same_prefix_as_one_text_block(ask: Ask) -> None:
    ask([text(600, FIVE)])
    turns = [
        {"role": "user", "content": "x" * 2400},
        {"role": "assistant", "content": "y" * 80},
        {"role": "user", "content": [text(1, FIVE)]},
    ]
    assert ask(messages=turns) == (0, 24 + 5, 0, 604)


@pytest.mark.parametrize(("mark", "minutes"), [(FIVE, 5), (HOUR, 60)])
def test_an_entry_lives_from_its_last_use(simulator: RunningSimulator, ask: Ask, mark: Json, minutes: int) -> None:
    written = (TAIL, 0, 800, 0) if mark is HOUR else (TAIL, 800, 0, 0)
    assert ask(system=[text(800, mark)]) == written
    for _ in range(2):
        simulator.advance(minutes * MINUTE - 1)
        assert ask(system=[text(800, mark)]) == (TAIL, 0, 0, 800)
    simulator.advance(minutes * MINUTE)
    assert ask(system=[text(800, mark)]) == written


def test_an_hour_and_five_minutes_are_billed_apart(simulator: RunningSimulator, ask: Ask) -> None:
    blocks = [text(600, HOUR), text(100, HOUR, "y"), text(50, FIVE, "z")]
    assert ask(system=blocks) == (TAIL, 50, 700, 0)
    assert ask(system=blocks) == (TAIL, 0, 0, 750)
    simulator.advance(6 * MINUTE)
    assert ask(system=blocks) == (TAIL, 50, 0, 700)
    assert ask(system=[blocks[0], text(100, HOUR, "q"), blocks[2]]) == (TAIL, 50, 100, 600)


def test_a_read_keeps_every_marked_prefix_alive(simulator: RunningSimulator, ask: Ask) -> None:
    both = [text(600, FIVE), text(100, FIVE, "y")]
    ask(system=both)
    simulator.advance(4 * MINUTE)
    ask(system=both)
    simulator.advance(4 * MINUTE)
    assert ask(system=[text(600, FIVE)]) == (TAIL, 0, 0, 600)


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-opus-5-5", 512),
        ("claude-opus-5", 512),
        ("claude-fable-5", 512),
        ("claude-sonnet-5", 1024),
        ("claude-opus-4-8", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-opus-4-6", 4096),
        ("claude-haiku-4-5", 4096),
    ],
)
def test_below_the_minimum_nothing_is_cached(ask: Ask, model: str, minimum: int) -> None:
    for _ in range(2):
        assert ask(system=[text(minimum - 1, FIVE)], model=model) == (TAIL + minimum - 1, 0, 0, 0)
    assert ask(system=[text(minimum, FIVE)], model=model) == (TAIL, minimum, 0, 0)
    assert ask(system=[text(minimum, FIVE)], model=model) == (TAIL, 0, 0, minimum)


def test_the_minimum_counts_the_whole_prefix(ask: Ask) -> None:
    assert ask(system=[text(300, FIVE), text(212, FIVE, "y")]) == (TAIL, 512, 0, 0)


@pytest.mark.parametrize(("added", "read"), [(1, 604), (19, 604), (20, 0)])
def test_a_breakpoint_looks_back_over_twenty_positions(ask: Ask, added: int, read: int) -> None:
    ask([text(600, FIVE)])
    more = [text(1, fill="y")] * (added - 1)
    assert ask([text(600), *more, text(1, FIVE, "z")]) == (0, 604 + added - read, 0, read)


def test_a_second_breakpoint_looks_back_from_where_it_stands(ask: Ask) -> None:
    ask([text(600, FIVE)])
    far = [text(1, fill="y")] * 30
    assert ask([text(600, FIVE), *far, text(1, FIVE, "z")])[3] == 604


@pytest.mark.parametrize(("results", "hit"), [(18, True), (40, True)])
def test_a_run_of_tool_results_is_one_position(ask: Ask, results: int, hit: bool) -> None:
    opening = {"role": "user", "content": [text(600, FIVE)]}
    ask(messages=[opening])
    uses = [{"type": "tool_use", "id": f"t{i}", "name": "t", "input": {}} for i in range(results)]
    answers = [{"type": "tool_result", "tool_use_id": f"t{i}", "content": "ok"} for i in range(results)]
    turns = [
        {"role": "user", "content": [text(600)]},
        {"role": "assistant", "content": uses},
        {"role": "user", "content": [*answers[:-1], {**answers[-1], "cache_control": FIVE}]},
    ]
    assert (ask(messages=turns)[3] == 604) is hit


def test_a_marker_inside_a_tool_result_marks_the_result(ask: Ask) -> None:
    answer = {"type": "tool_result", "tool_use_id": "t", "content": [text(600, FIVE)]}
    turns = [
        {"role": "user", "content": "tail"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "t", "input": {}}]},
        {"role": "user", "content": [answer]},
    ]
    written = ask(messages=turns)[1]
    assert written > 600
    assert ask(messages=turns) == (0, 0, 0, written)


def test_the_automatic_marker_follows_the_conversation(client: anthropic.Anthropic) -> None:
    turns: list[Json] = [{"role": "user", "content": "x" * 2400}]

    def talk() -> tuple[int, int, int, int]:
        message = client.messages.create(
            model="claude-opus-5-5", max_tokens=64, messages=turns, cache_control={"type": "ephemeral"}
        )
        turns.append({"role": "assistant", "content": "y" * 40})
        turns.append({"role": "user", "content": "next"})
        return split(message.usage.to_dict())

    assert [talk(), talk(), talk()] == [(0, 604, 0, 0), (0, 19, 0, 604), (0, 19, 0, 623)]


def test_the_automatic_marker_passes_over_thinking(ask: Ask) -> None:
    turns = [
        {"role": "user", "content": "x" * 2400},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
    ]
    uncached, written, _, _ = ask(messages=turns, cache_control=FIVE)
    assert (written, uncached > 4) == (604, True)


def test_caches_belong_to_an_account_and_a_model(simulator: RunningSimulator, ask: Ask) -> None:
    ask(system=[text(800, FIVE)])
    assert ask(system=[text(800, FIVE)], model="claude-opus-5")[3] == 0
    with anthropic.Anthropic(base_url=simulator.base_url, api_key="key-b") as other:
        usage = other.messages.create(
            model="claude-opus-5-5",
            max_tokens=8,
            system=[text(800, FIVE)],
            messages=[{"role": "user", "content": "tail"}],
        ).usage
        assert usage.cache_read_input_tokens == 0


def items(count: int) -> list[Json]:
    params = {"model": "claude-opus-5-5", "max_tokens": 8, "system": [text(800, HOUR)]}
    return [
        {"custom_id": f"q{i:03}", "params": {**params, "messages": [{"role": "user", "content": f"{i:04}"}]}}
        for i in range(count)
    ]


def test_the_first_item_of_a_batch_writes_and_the_others_read(ask: Ask, finish: Finish) -> None:
    done = finish(*items(10))
    splits = [split(done[custom_id]["message"]["usage"]) for custom_id in sorted(done)]
    assert splits == [(TAIL, 0, 800, 0)] + [(TAIL, 0, 0, 800)] * 9
    assert ask(system=[text(800, HOUR)]) == (TAIL, 0, 0, 800)


def test_in_a_batch_the_cache_can_be_best_effort() -> None:
    config = SimulatorConfig(batch_seconds=0, batch_cache_hit_rate=0.5)
    with (
        running(config) as simulator,
        anthropic.Anthropic(base_url=simulator.base_url, api_key="k") as client,
    ):
        batch = client.messages.batches.create(requests=items(200))
        usages = [line.result.message.usage for line in client.messages.batches.results(batch.id)]
        assert 60 < sum(usage.cache_read_input_tokens > 0 for usage in usages) < 140


def test_an_entry_is_readable_once_the_first_answer_has_begun() -> None:
    config = SimulatorConfig(time_scale=0, first_token_seconds=3)
    with (
        running(config) as simulator,
        anthropic.Anthropic(base_url=simulator.base_url, api_key="k") as client,
    ):

        def read() -> int | None:
            return client.messages.create(
                model="claude-opus-5-5",
                max_tokens=8,
                system=[text(800, FIVE)],
                messages=[{"role": "user", "content": "tail"}],
            ).usage.cache_read_input_tokens

        first = read()
        simulator.advance(2)
        too_early = read()
        simulator.advance(3)
        assert (first, too_early, read()) == (0, 0, 800)


def test_a_minimum_can_be_set() -> None:
    config = SimulatorConfig(cache_minimums={"claude-haiku-5-5": 100})
    with (
        running(config) as simulator,
        anthropic.Anthropic(base_url=simulator.base_url, api_key="k") as client,
    ):
        usage = client.messages.create(
            model="claude-haiku-5-5",
            max_tokens=8,
            system=[text(100, FIVE)],
            messages=[{"role": "user", "content": "tail"}],
        ).usage
        assert usage.cache_creation_input_tokens == 100

"""The provider's bill against figures worked out by hand, from the price page in USD per million tokens."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anthropic
import pytest

from llm_ledger.simulator import RunningSimulator

Json = dict[str, Any]
Build = Callable[..., Json]
Finish = Callable[..., dict[str, Json]]

MILLION = Decimal(1_000_000)
HOUR = {"type": "ephemeral", "ttl": "1h"}
FIVE = {"type": "ephemeral"}


def text(tokens: int, mark: Json | None = None) -> Json:
    return {"type": "text", "text": "x" * 4 * tokens, **({"cache_control": mark} if mark else {})}


@pytest.mark.parametrize(
    ("model", "base", "out", "write_5m", "write_1h", "read"),
    [
        ("claude-fable-5-2", "8", "40", "10", "16", "0.2"),
        ("claude-mythos-5-2", "8", "40", "10", "16", "0.2"),
        ("claude-fable-5-1", "10", "50", "12.5", "20", "0.25"),
        ("claude-fable-5", "10", "50", "12.5", "20", "1"),
        ("claude-opus-5-5", "4", "20", "5", "8", "0.2"),
        ("claude-opus-5", "5", "25", "6.25", "10", "0.5"),
        ("claude-opus-4-6", "5", "25", "6.25", "10", "0.5"),
        ("claude-opus-4-5", "5", "25", "6.25", "10", "0.5"),
        ("claude-opus-4-1", "15", "75", "18.75", "30", "1.5"),
        ("claude-sonnet-5", "2", "10", "2.5", "4", "0.2"),
        ("claude-sonnet-4-6", "3", "15", "3.75", "6", "0.3"),
        ("claude-3-5-sonnet-20241022", "3", "15", "3.75", "6", "0.3"),
        ("claude-haiku-5-5", "0.1", "0.5", "0.125", "0.2", "0.01"),
        ("claude-haiku-4-5", "1", "5", "1.25", "2", "0.1"),
    ],
)
def test_every_column_of_a_batch_costs_half(
    simulator: RunningSimulator,
    params: Build,
    finish: Finish,
    model: str,
    base: str,
    out: str,
    write_5m: str,
    write_1h: str,
    read: str,
) -> None:
    asked = params("tail", model=model, system=[text(5000, HOUR), text(700, FIVE)])
    done = finish({"custom_id": "a", "params": asked}, {"custom_id": "b", "params": asked})
    written, reading = (done[name]["message"]["usage"]["output_tokens"] for name in "ab")
    assert written > 20
    full = (
        2 * 5 * Decimal(base)
        + 5000 * Decimal(write_1h)
        + 700 * Decimal(write_5m)
        + 5700 * Decimal(read)
        + (written + reading) * Decimal(out)
    )
    bill = simulator.bill()
    assert Decimal(bill["total"]) == full / 2 / MILLION
    assert bill["tokens"] == {
        "uncached_input": 10,
        "cache_write_5m": 700,
        "cache_write_1h": 5000,
        "cache_read": 5700,
        "output": written + reading,
    }


def test_a_call_costs_the_list_price(simulator: RunningSimulator, client: anthropic.Anthropic, params: Build) -> None:
    message = client.messages.create(**params("tail", system=[text(1000, FIVE)]))
    expected = 5 * 4 + 1000 * 5 + message.usage.output_tokens * 20
    assert Decimal(simulator.bill()["total"]) == expected / MILLION


def test_every_grouping_adds_up_to_the_total(
    simulator: RunningSimulator, client: anthropic.Anthropic, params: Build, finish: Finish
) -> None:
    client.messages.create(**params())
    client.messages.create(**params(model="claude-haiku-5-5"))
    with anthropic.Anthropic(base_url=simulator.base_url, api_key="key-b") as other:
        other.messages.create(**params())
    finish({"custom_id": "a", "params": params()})
    bill = simulator.bill()
    assert bill["total_pico_usd"] == Decimal(bill["total"]) * 10**12
    for grouping in ("models", "accounts", "tiers"):
        assert sum(group["total_pico_usd"] for group in bill[grouping].values()) == bill["total_pico_usd"]
        assert sum(group["requests"] for group in bill[grouping].values()) == bill["requests"] == 4
    assert set(bill["accounts"]) == {simulator.account("key-a"), simulator.account("key-b")}
    assert [group["requests"] for group in bill["batches"].values()] == [1]


def test_sonnet_55_reads_got_cheaper_on_the_seventh_of_october(
    simulator: RunningSimulator, client: anthropic.Anthropic, params: Build
) -> None:
    asked = params("tail", model="claude-sonnet-5-5", max_tokens=1, system=[text(2000, FIVE)])

    def spent() -> Decimal:
        before = Decimal(simulator.bill()["total"])
        client.messages.create(**asked)
        return (Decimal(simulator.bill()["total"]) - before) * MILLION

    rest = 5 * 2 + 1 * 10
    assert spent() == rest + Decimal(2000) * Decimal("2.5")
    assert spent() == rest + Decimal(2000) * Decimal("0.20")
    simulator.advance(6 * 3600 - 1)
    spent()
    assert spent() == rest + Decimal(2000) * Decimal("0.20")
    simulator.advance(1)
    assert spent() == rest + Decimal(2000) * Decimal("0.10")


def test_a_batch_is_billed_by_the_prices_of_its_creation(
    simulator: RunningSimulator, params: Build, finish: Finish
) -> None:
    asked = params("tail", model="claude-sonnet-5-5", max_tokens=1, system=[text(2000, FIVE)])
    simulator.advance(6 * 3600 - 1)
    finish({"custom_id": "a", "params": asked}, {"custom_id": "b", "params": asked})
    expected = 2 * (5 * 2 + 1 * 10) + Decimal(2000) * Decimal("2.5") + Decimal(2000) * Decimal("0.20")
    assert Decimal(simulator.bill()["total"]) == expected / 2 / MILLION


@pytest.mark.parametrize(("system", "rate", "out"), [(99_995, "0.10", "0.50"), (99_996, "0.50", "2.50")])
def test_a_long_prompt_of_haiku_55_costs_more_from_the_first_token(
    simulator: RunningSimulator, client: anthropic.Anthropic, params: Build, system: int, rate: str, out: str
) -> None:
    message = client.messages.create(**params("tail", model="claude-haiku-5-5", system=[text(system)]))
    expected = (system + 5) * Decimal(rate) + message.usage.output_tokens * Decimal(out)
    assert Decimal(simulator.bill()["total"]) == expected / MILLION


def test_cached_tokens_count_towards_a_long_prompt(
    simulator: RunningSimulator, client: anthropic.Anthropic, params: Build
) -> None:
    asked = params("tail", model="claude-haiku-5-5", max_tokens=1, system=[text(99_996, FIVE)])
    client.messages.create(**asked)
    client.messages.create(**asked)
    expected = 2 * (5 * Decimal("0.50") + Decimal("2.50")) + 99_996 * (Decimal("0.625") + Decimal("0.05"))
    assert Decimal(simulator.bill()["total"]) == expected / MILLION


@pytest.mark.parametrize(
    ("model", "geo", "factor"),
    [
        ("claude-opus-5-5", "us", "1.1"),
        ("claude-opus-4-6", "us", "1.1"),
        ("claude-sonnet-4-6", "us", "1.1"),
        ("claude-opus-4-5", "us", "1"),
        ("claude-opus-5-5", "global", "1"),
    ],
)
def test_inference_in_the_us_costs_a_tenth_more_from_4_6_on(
    simulator: RunningSimulator, params: Build, finish: Finish, model: str, geo: str, factor: str
) -> None:
    price, out = (4, 20) if model == "claude-opus-5-5" else (3, 15) if "sonnet" in model else (5, 25)
    usage = finish({"custom_id": "a", "params": params("tail", model=model, inference_geo=geo)})["a"]["message"][
        "usage"
    ]
    assert usage["inference_geo"] == geo
    expected = (5 * price + usage["output_tokens"] * out) * Decimal(factor) / 2
    assert Decimal(simulator.bill()["total"]) == expected / MILLION


def test_a_web_search_costs_a_cent_in_batches_too(simulator: RunningSimulator, params: Build, finish: Finish) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    done = finish({"custom_id": "a", "params": params(tools=tools, inference_geo="us")})
    usage = done["a"]["message"]["usage"]
    tokens = (usage["input_tokens"] * 4 + usage["output_tokens"] * 20) * Decimal("1.1") / 2
    assert Decimal(simulator.bill()["total"]) == tokens / MILLION + Decimal("0.01")
    assert simulator.bill()["web_searches"] == 1


@pytest.mark.parametrize(
    ("wish", "kind", "model", "rate", "out"),
    [("compaction", "compaction", None, 5, 25), ("advisor", "advisor_message", "claude-opus-5-5", 4, 20)],
)
def test_work_around_an_answer_is_billed_outside_its_top_level_counts(
    simulator: RunningSimulator,
    params: Build,
    finish: Finish,
    wish: str,
    kind: str,
    model: str | None,
    rate: int,
    out: int,
) -> None:
    asked = params("tail", model="claude-opus-5", metadata={"user_id": f"simulate:{wish}"})
    usage = finish({"custom_id": "a", "params": asked})["a"]["message"]["usage"]
    around, answer = usage["iterations"]
    assert (around["type"], around.get("model"), answer["type"]) == (kind, model, "message")
    assert answer["output_tokens"] == usage["output_tokens"]
    work = around["input_tokens"] * rate + around["output_tokens"] * out
    assert work > 0
    expected = Decimal(5 * 5 + usage["output_tokens"] * 25 + work) / 2
    bill = simulator.bill()
    assert Decimal(bill["total"]) == expected / MILLION
    assert bill["requests"] == 1

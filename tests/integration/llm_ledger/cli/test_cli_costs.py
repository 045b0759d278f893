"""Costs that are not plain: without a price, with half a price, paid twice, with a body that is gone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from ledger import Ledger, NewEvent
from ledger.events import CacheUsageRecorded, EventData, RequestRecorded, RequestSucceeded, request_stream
from ledger.payloads import encode_payload

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
BODY = b'{"type":"succeeded","message":{"number":1e2}}'
PLAIN = {"input_tokens": 1000, "output_tokens": 100}
ADVISED = {
    **PLAIN,
    "iterations": [
        {"type": "message", **PLAIN},
        {"type": "advisor_message", "model": "claude-unheard-of", "input_tokens": 10, "output_tokens": 10},
    ],
}


def usage(model: str, told: dict[str, Any], role: Any = "result") -> EventData:
    raw = msgspec.Raw(json.dumps(told).encode())
    return CacheUsageRecorded(
        role=role, provider="anthropic", model=model, processing="batch", billed_at=AT, usage=raw
    )


def record(program: Any, custom_id: str, model: str, *used: EventData) -> None:
    """One request that succeeded and was billed so."""
    with Ledger.open(program.url) as ledger:
        recorded = RequestRecorded(
            key="default",
            custom_id=custom_id,
            provider="anthropic",
            model=model,
            mode="batch",
            api_version="2026-10-21",
            params_hash=sha256(custom_id.encode()).hexdigest(),
            payload=None,
            size=0,
            max_tokens=10,
            estimated_input_tokens=10,
        )
        body = encode_payload(BODY)
        succeeded = RequestSucceeded(model=model, result=body.digest.hex(), size=body.size, processing="batch")
        events: Sequence[EventData] = (recorded, succeeded, *used)
        stream = request_stream(str(ledger.ids.new()))
        ledger.append(
            [NewEvent(stream, at, data, ledger.ids.new(), AT) for at, data in enumerate(events, start=1)],
            payloads=[body],
        )


@pytest.fixture
def mixed(program: Any) -> Any:
    record(program, "plain", "claude-haiku-4-5", usage("claude-haiku-4-5", PLAIN))
    record(program, "unpriced", "claude-unheard-of", usage("claude-unheard-of", PLAIN))
    record(program, "half", "claude-haiku-4-5", usage("claude-haiku-4-5", ADVISED))
    twice = usage("claude-haiku-4-5", PLAIN), usage("claude-haiku-4-5", PLAIN, "duplicate")
    record(program, "twice", "claude-haiku-4-5", *twice)
    return program


def test_costs_without_a_price_are_null_and_the_sum_stays_exact(mixed: Any) -> None:
    rows = {row["custom_id"]: row for row in mixed("requests", "--json").lines}
    report = mixed("savings", "--json").document
    assert rows["unpriced"]["cost"] is None
    assert {name for name, row in rows.items() if row["unpriced"]} == {"unpriced", "half"}
    assert report["requests"]["unpriced"] == 2
    costs = [Decimal(row["cost"]) for row in rows.values() if row["cost"] is not None]
    assert sum(costs) == Decimal(report["cost"]["actual"]) > 0
    assert "without a known price" in mixed("savings").out
    assert "no price is known for claude-unheard-of" in mixed("show", "unpriced").out


def test_a_result_never_carries_half_a_price(mixed: Any) -> None:
    costs = {line["custom_id"]: line["cost"] for line in mixed("results").lines}
    assert (costs["unpriced"], costs["half"]) == (None, None)
    assert Decimal(costs["twice"]) == 2 * Decimal(costs["plain"])


def test_a_duplicate_is_paid_for_and_saves_nothing(mixed: Any) -> None:
    rows = {row["custom_id"]: row for row in mixed("requests", "--json").lines}
    assert rows["twice"]["standard_no_cache"] == rows["plain"]["standard_no_cache"]
    assert mixed("savings", "--json").document["waste"]["duplicates"] == rows["plain"]["cost"]
    shown = mixed("show", "twice", "--json").document
    assert [item["role"] for item in shown["billed"]] == ["result", "duplicate"]
    assert "(duplicate)" in mixed("show", "twice").out


def test_results_are_the_stored_bytes_and_null_once_they_are_gone(mixed: Any) -> None:
    assert all(BODY.decode() in line for line in mixed("results").out.splitlines())
    mixed.alter("DELETE FROM payloads")
    assert [line["result"] for line in mixed("results").lines] == [None] * 4
    assert mixed("show", "plain", "--json").document["result"] is None

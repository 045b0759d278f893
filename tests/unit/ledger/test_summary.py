"""The report of a ledger: which groups it has, what it refuses, and how requests count."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ledger import Ledger
from ledger.errors import InputError
from ledger.savings import Period
from ledger.summary import savings
from tests.support.clock import NOON
from tests.support.history import History, prefix, usage
from tests.support.ledgers import bare_ledger


def names(ledger: Ledger, by: str, **period: Any) -> list[str]:
    return [group["name"] for group in savings(ledger, Period(**period), by)["groups"]]


def test_an_empty_ledger_reports_nothing_at_all() -> None:
    with bare_ledger() as ledger:
        report = savings(ledger, Period())
        assert report["period"] == {"since": None, "until": None, "timezone": "UTC"}
        assert report["requests"]["total"] == 0
        assert report["cost"]["actual"] == "0"
        assert report["groups"] == []
        assert [names(ledger, by) for by in ("day", "model", "provider")] == [[], [], []]
        assert names(ledger, "tag:team") == ["(none)"]


def test_groups_are_named_and_sorted(ledger: Ledger, history: History) -> None:
    for model, team in (("claude-opus-5-5", "b"), ("claude-haiku-4-5", "a"), ("claude-haiku-4-5", None)):
        history.succeed(history.request(mode="standard", model=model, tags={"team": team} if team else {}))
        history.clock.advance(hours=13)
    ledger.append(history.take())
    assert names(ledger, "day") == ["2026-11-22", "2026-11-23"]
    assert names(ledger, "model") == ["claude-haiku-4-5", "claude-opus-5-5"]
    assert names(ledger, "provider") == ["anthropic"]
    assert names(ledger, "tag:team") == ["a", "b", "(none)"]
    assert names(ledger, "day", timezone="Pacific/Auckland") == ["2026-11-23", "2026-11-24"]
    assert names(ledger, "model", until=NOON + timedelta(minutes=15)) == ["claude-opus-5-5"]


@pytest.mark.parametrize("by", ["", "week", "tag", "tag:", "Model", ":team"])
def test_other_groupings_are_refused(ledger: Ledger, by: str) -> None:
    with pytest.raises(InputError, match=r"cannot group by .*; use day, model, provider or tag:NAME"):
        savings(ledger, Period(), by)


def test_other_time_zones_are_refused(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="is no time zone"):
        savings(ledger, Period(timezone="Mars/Olympus"))


def test_a_period_that_ends_before_it_begins_holds_nothing(ledger: Ledger, history: History) -> None:
    history.succeed(history.request(mode="standard"))
    ledger.append(history.take())
    report = savings(ledger, Period(NOON + timedelta(hours=1), NOON), "day")
    assert (report["requests"]["total"], report["groups"]) == (0, [])


def test_the_bill_of_a_batch_by_hand(ledger: Ledger, history: History) -> None:
    """Haiku 4.5 in a batch, per million: 0.50 in, 2.50 out, 0.625 written, 0.05 read; twice that as standard."""
    one, two = (history.request(prefix=prefix("system")) for _ in range(2))
    history.submitted([one, two])
    history.succeed(one, usage(1_000, 2_000, write_5m=100_000))
    history.succeed(two, usage(1_000, 2_000, read=100_000))
    ledger.append(history.take())
    report = savings(ledger, Period())
    assert report["cost"] == {
        "actual": "0.0785",
        "no_cache": "0.111",
        "standard_no_cache": "0.222",
        "currency": "USD",
    }
    assert report["savings"] == {"batch": "0.111", "cache": "0.0325", "total": "0.1435", "percent": "64.64"}
    assert report["cache"] == {"token_hit_rate": "0.4950", "request_hit_rate": "0.5000", "reuse_factor": "1.0000"}
    assert report["waste"] == {"duplicates": "0", "unread_writes": "0"}


def test_usage_counts_at_the_creation_of_its_batch(ledger: Ledger, history: History) -> None:
    request = history.request()
    history.submitted([request])
    history.clock.advance(hours=20)
    history.succeed(request)
    ledger.append(history.take())
    for report in (savings(ledger, Period(NOON, NOON + timedelta(minutes=15))), savings(ledger, Period())):
        assert report["requests"]["succeeded"] == 1
        assert report["tokens"]["uncached_input"] == 100
    assert savings(ledger, Period(NOON + timedelta(minutes=15)))["requests"]["total"] == 0
    assert savings(ledger, Period(until=NOON))["requests"]["total"] == 0


def test_a_request_counts_under_the_model_that_answered(ledger: Ledger, history: History) -> None:
    request = history.request(mode="standard", model="claude-opus-5-5")
    history.succeed(request, model="claude-haiku-4-5")
    failed = history.request(mode="standard", model="claude-opus-5-5")
    history.fail(failed, retryable=False)
    ledger.append(history.take())
    groups = {group["name"]: group["requests"] for group in savings(ledger, Period(), "model")["groups"]}
    assert groups["claude-haiku-4-5"]["succeeded"] == 1
    assert (groups["claude-opus-5-5"]["succeeded"], groups["claude-opus-5-5"]["failed"]) == (0, 1)


def test_what_nobody_can_read_is_counted_as_unknown(ledger: Ledger, history: History) -> None:
    for raw in (usage(-1), b'{"input_tokens": 1e999}', b"[]", usage(1, iterations=[{"type": "telepathy"}])):
        history.succeed(history.request(mode="standard"), raw)
    history.cost_unknown(history.request(mode="standard"))
    ledger.append(history.take())
    counted = savings(ledger, Period())["requests"]
    assert (counted["succeeded"], counted["cost_unknown"], counted["unpriced"]) == (4, 5, 0)
    assert savings(ledger, Period())["cost"]["actual"] == "0"


# --- unpriced ------------------------------------------------------------------------------------------------

KNOWN, UNKNOWN, STRANGE = "claude-haiku-4-5", "claude-opus-99", "claude-opus-98"


def advised(model: str, **counts: int) -> dict[str, Any]:
    return {"type": "advisor_message", "model": model, **(counts or {"output_tokens": 7})}


@pytest.mark.parametrize(
    ("model", "iterations", "unpriced"),
    [
        (KNOWN, [], 0),
        (UNKNOWN, [], 1),
        (KNOWN, [advised(KNOWN)], 0),
        (KNOWN, [advised(UNKNOWN)], 1),
        (KNOWN, [advised(UNKNOWN), advised(UNKNOWN)], 1),
        (UNKNOWN, [advised(KNOWN)], 1),
        (UNKNOWN, [advised(UNKNOWN)], 1),
        (UNKNOWN, [{"type": "compaction", "input_tokens": 150_000}], 1),
    ],
)
def test_a_request_is_unpriced_once_if_any_part_of_it_is(
    ledger: Ledger, history: History, model: str, iterations: list[Any], unpriced: int
) -> None:
    history.succeed(history.request(mode="standard", model=model), usage(5, 5, iterations=iterations))
    ledger.append(history.take())
    report = savings(ledger, Period(), "model")
    assert report["requests"]["unpriced"] == unpriced
    assert sum(group["requests"]["unpriced"] for group in report["groups"]) == unpriced


def test_duplicates_are_no_requests(ledger: Ledger, history: History) -> None:
    request = history.request(mode="standard", model=UNKNOWN)
    for _ in range(3):
        history.succeed(request, usage(5, 5, iterations=[advised(STRANGE)]))
    ledger.append(history.take())
    report = savings(ledger, Period())
    assert (report["requests"]["total"], report["requests"]["unpriced"]) == (1, 2)
    assert report["tokens"]["uncached_input"] == 15

"""The savings report, assembled from rollup rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ledger.pricing import PriceBook, PriceKey, Processing, Role, Tokens
from ledger.savings import OutcomeSums, Period, Tally, UsageSums, savings_report

BOOK = PriceBook.packaged()
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
MODELS = ["claude-opus-5-5", "claude-haiku-4-5", "claude-sonnet-4-6"]


def key(model: str = "claude-opus-5-5", processing: Processing = "batch") -> PriceKey:
    return PriceKey("anthropic", model, processing)


def report_of(*rows: tuple[PriceKey, Role, UsageSums], outcomes: OutcomeSums | None = None) -> dict[str, Any]:
    tally = Tally()
    for row_key, role, sums in rows:
        tally.add_usage(row_key, BOOK.epoch(row_key, EPOCH), role, sums, BOOK)
    tally.add_outcomes(outcomes or OutcomeSums())
    return tally.report()


def test_a_report_by_hand() -> None:
    """Opus 5.5 in a batch: 2 in, 10 out, 2.5 and 4 write, 0.10 read; standard 4 in, 20 out ($ per million)."""
    sums = UsageSums(
        Tokens(uncached=100_000, write_5m=40_000, write_1h=60_000, read=800_000, output=50_000, web_searches=4),
        requests=10,
        marked=8,
        hits=6,
    )
    outcomes = OutcomeSums(succeeded=10, failed=2, canceled=1, cost_unknown=3)
    assert report_of((key(), "result", sums), outcomes=outcomes) == {
        "requests": {
            "total": 13,
            "succeeded": 10,
            "failed": 2,
            "canceled": 1,
            "unpriced": 0,
            "cost_unknown": 3,
        },
        "tokens": {
            "uncached_input": 100_000,
            "cache_write_5m": 40_000,
            "cache_write_1h": 60_000,
            "cache_read": 800_000,
            "output": 50_000,
        },
        # A = 0.2 + 0.1 + 0.24 + 0.08 + 0.5 + 0.04; Nb = 1,000,000 x 2 + 0.5 + 0.04; Ns = 4 + 1 + 0.04
        "cost": {"actual": "1.16", "no_cache": "2.54", "standard_no_cache": "5.04", "currency": "USD"},
        "savings": {"batch": "2.5", "cache": "1.38", "total": "3.88", "percent": "76.98"},
        "waste": {"duplicates": "0", "unread_writes": "0"},
        "cache": {"token_hit_rate": "0.8000", "request_hit_rate": "0.7500", "reuse_factor": "8.0000"},
    }


def test_an_empty_report_divides_by_nothing() -> None:
    report = Tally().report()
    assert report["savings"] == {"batch": "0", "cache": "0", "total": "0", "percent": None}
    assert report["cache"] == {"token_hit_rate": None, "request_hit_rate": None, "reuse_factor": None}
    assert report["requests"]["total"] == 0


def test_a_rate_of_zero_is_not_null() -> None:
    sums = UsageSums(Tokens(uncached=5, write_5m=5), requests=1, marked=1)
    assert report_of((key(), "result", sums))["cache"] == {
        "token_hit_rate": "0.0000",
        "request_hit_rate": "0.0000",
        "reuse_factor": "0.0000",
    }


def test_ratios_are_rounded_half_to_even() -> None:
    def hit_rate(read: int, prompt: int) -> object:
        sums = UsageSums(Tokens(uncached=prompt - read, read=read))
        return report_of((key(), "result", sums))["cache"]["token_hit_rate"]

    assert hit_rate(1, 3) == "0.3333"
    assert hit_rate(2, 3) == "0.6667"
    assert hit_rate(1, 20_000) == "0.0000"
    assert hit_rate(3, 20_000) == "0.0002"


def test_a_rate_is_of_sums_and_no_mean_of_rates() -> None:
    small = UsageSums(Tokens(read=10))
    large = UsageSums(Tokens(uncached=990))
    report = report_of((key(), "result", small), (key("claude-haiku-4-5"), "result", large))
    assert report["cache"]["token_hit_rate"] == "0.0100"


def test_a_cache_that_loses_money_shows_negative() -> None:
    report = report_of((key("claude-haiku-4-5", "standard"), "result", UsageSums(Tokens(write_5m=1_000_000))))
    assert report["savings"] == {"batch": "0", "cache": "-0.25", "total": "-0.25", "percent": "-25.00"}


def test_duplicates_cost_save_nothing_and_count_no_request() -> None:
    sums = UsageSums(Tokens(uncached=100_000, read=100_000), requests=1, marked=1, hits=1)
    once = report_of((key(), "result", sums))
    twice = report_of((key(), "result", sums), (key(), "duplicate", sums))
    assert once["cost"]["actual"] == "0.21"
    assert twice["cost"] == {**once["cost"], "actual": "0.42"}
    assert twice["waste"]["duplicates"] == "0.21"
    assert Decimal(twice["savings"]["total"]) == Decimal(once["savings"]["total"]) - Decimal("0.21")
    assert twice["tokens"]["cache_read"] == 200_000
    assert twice["cache"]["request_hit_rate"] == "1.0000"


def test_unpriced_usage_is_counted_and_brings_no_money() -> None:
    sums = UsageSums(Tokens(uncached=70, output=30), requests=4, marked=2, hits=1)
    report = report_of((key("claude-opus-4-99"), "result", sums), (key("claude-opus-4-99"), "duplicate", sums))
    assert report["requests"]["unpriced"] == 4
    assert report["tokens"]["uncached_input"] == 140
    assert report["cost"]["actual"] == "0"
    assert report["waste"]["duplicates"] == "0"
    assert report["savings"]["percent"] is None
    assert report["cache"]["request_hit_rate"] == "0.5000"


def test_unread_writes_waste_what_they_cost_above_plain_input() -> None:
    tally = Tally()
    tally.add_unread_writes(1_000_000, 0, key("claude-haiku-4-5", "standard"), EPOCH, BOOK)
    assert tally.report()["waste"]["unread_writes"] == "0.25"
    tally.add_unread_writes(0, 1_000_000, key("claude-haiku-4-5", "batch"), EPOCH, BOOK)
    assert tally.report()["waste"]["unread_writes"] == "0.75"
    tally.add_unread_writes(1_000_000, 1_000_000, key("claude-opus-4-99"), None, BOOK)
    assert tally.report()["waste"]["unread_writes"] == "0.75"
    assert tally.report()["cost"]["actual"] == "0"


def test_outcomes_add_up() -> None:
    tally = Tally()
    tally.add_outcomes(OutcomeSums(1, 2, 3, 4))
    tally.add_outcomes(OutcomeSums(10, 20, 30, 40))
    assert tally.report()["requests"] == {
        "total": 66,
        "succeeded": 11,
        "failed": 22,
        "canceled": 33,
        "unpriced": 0,
        "cost_unknown": 44,
    }


def test_the_whole_report_is_json_with_period_and_groups() -> None:
    total, tagged, untagged = Tally(), Tally(), Tally()
    period = Period(since=datetime(2026, 11, 1, tzinfo=ZoneInfo("Europe/Berlin")), timezone="Europe/Berlin")
    report = savings_report(period, total, [("docs", tagged), (None, untagged)])
    assert report["period"] == {
        "since": "2026-11-01T00:00:00+01:00",
        "until": None,
        "timezone": "Europe/Berlin",
    }
    assert [group["name"] for group in report["groups"]] == ["docs", None]
    assert {**report["groups"][0], "name": None} == {"name": None, **total.report()}
    assert list(report) == ["period", *total.report(), "groups"]
    assert json.loads(json.dumps(report)) == report


def test_without_dates_nothing_is_said_of_time() -> None:
    report = savings_report(Period(until=datetime(2026, 12, 1, tzinfo=UTC)), Tally(), [])
    assert report["period"] == {"since": None, "until": "2026-12-01T00:00:00+00:00", "timezone": "UTC"}
    assert savings_report(Period(), Tally(), [])["period"] == {
        "since": None,
        "until": None,
        "timezone": "UTC",
    }


counts = st.integers(0, 10**9)
rows = st.lists(
    st.tuples(
        st.builds(key, st.sampled_from([*MODELS, "unknown"]), st.sampled_from(["batch", "standard"])),
        st.sampled_from(["result", "duplicate"]),
        st.builds(UsageSums, st.builds(Tokens, *[counts] * 6), counts, counts, counts),
    ),
    max_size=6,
)


@given(rows)
def test_savings_split_exactly_in_whatever_order(some_rows: list[tuple[PriceKey, Role, UsageSums]]) -> None:
    report = report_of(*some_rows)
    assert report == report_of(*reversed(some_rows))
    cost = {name: Decimal(report["cost"][name]) for name in ("actual", "no_cache", "standard_no_cache")}
    saved = {name: Decimal(report["savings"][name]) for name in ("batch", "cache", "total")}
    assert saved["batch"] + saved["cache"] == saved["total"]
    assert saved["batch"] == cost["standard_no_cache"] - cost["no_cache"]
    assert saved["cache"] == cost["no_cache"] - cost["actual"]

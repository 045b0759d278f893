from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from llm_ledger.cli.waterfall import money_digits, picture, steps


def report(standard: str, billed: str, actual: str) -> dict[str, Any]:
    batch, cache = Decimal(standard) - Decimal(billed), Decimal(billed) - Decimal(actual)
    return {
        "cost": {"standard_no_cache": standard, "no_cache": billed, "actual": actual},
        "savings": {"batch": str(batch), "cache": str(cache)},
    }


def test_each_bar_begins_where_the_one_before_it_ends() -> None:
    whole, batch, cache, actual = steps(report("10", "5", "2"))
    assert whole.end == batch.start == 10
    assert batch.end == cache.start == 5
    assert cache.end == actual.end == 2
    assert [bar.share for bar in (whole, batch, cache, actual)] == ["100.0 %", "−50.0 %", "−30.0 %", "20.0 %"]
    assert [bar.kind for bar in (whole, batch, cache, actual)] == ["total", "saving", "saving", "total"]


def test_a_cache_that_cost_more_than_it_saved_is_a_loss() -> None:
    cache = steps(report("10", "5", "7"))[2]
    assert (cache.kind, cache.label, cache.amount, cache.share) == ("loss", "+ cache saving", "2", "20.0 %")


def test_an_empty_ledger_has_bars_without_length() -> None:
    assert all(bar.start == bar.end == 0 and bar.share == "–" for bar in steps(report("0", "0", "0")))


def test_small_amounts_get_more_decimals() -> None:
    assert [money_digits(["0.5"]), money_digits(["1", "0.1"]), money_digits(["-100"]), money_digits([])] == [
        6,
        4,
        2,
        6,
    ]


def drawn(width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(picture(steps(report("0.123456", "0.061728", "0.012345"))))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [200, 80, 72, 60, 50, 40, 32])
def test_the_money_is_whole_however_narrow_the_terminal(width: int) -> None:
    told = "\n".join(drawn(width))
    for figure in ("$0.123456", "−$0.061728", "−$0.049383", "$0.012345", "100.0 %", "−50.0 %"):
        assert figure in told
    assert "…" not in told


def test_bars_take_what_the_figures_leave() -> None:
    assert [drawn(width)[0].count("█") for width in (80, 72, 60, 50)] == [32, 25, 13, 0]

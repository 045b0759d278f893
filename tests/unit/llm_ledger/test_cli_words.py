from __future__ import annotations

import pytest

from llm_ledger.cli.words import age, clock, counted, dollars, one_line, parse_duration, parse_tag, percent, plain


@pytest.mark.parametrize(
    ("amount", "digits", "told"),
    [
        ("0", 6, "$0.000000"),
        ("0.0000005", 6, "$0.000000"),
        ("0.0000015", 6, "$0.000002"),
        ("1234.5", 2, "$1,234.50"),
        ("-0.5", 4, "−$0.5000"),
        ("0.000000000001", None, "$0.000000000001"),
        ("9" * 30 + ".5", 6, "$" + ",".join(["999"] * 10) + ".500000"),
        (None, 6, "–"),
    ],
)
def test_money(amount: str | None, digits: int | None, told: str) -> None:
    assert dollars(amount, digits) == told


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172_800), ("7", 7), ("0.25", 0.25)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1 fortnight", "1e3", "nan", "1m30s"])
def test_unreadable_durations(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


def test_tags_end_at_the_first_equals_sign() -> None:
    assert parse_tag("team=a=b") == ("team", "a=b")
    assert parse_tag("team=") == ("team", "")
    with pytest.raises(ValueError, match="name=value"):
        parse_tag("team")


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (864_000, "10 d"), (-5, "-5 s")]
)
def test_ages(seconds: float, told: str) -> None:
    assert age(seconds) == told


def test_counts() -> None:
    assert [counted(1, "batch"), counted(2, "batch"), counted(1319, "request")] == [
        "1 batch",
        "2 batches",
        "1,319 requests",
    ]


def test_instants_and_shares() -> None:
    assert clock(1_000_000) == "1970-01-01 00:00:01"
    assert clock(None) == percent("1", "0") == "–"
    assert percent("-1", "3") == "−33.3 %"


def test_text_cannot_command_the_terminal() -> None:
    assert plain("naïve 数 ok") == "naïve 数 ok"
    assert plain("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\\n"
    assert one_line("two\nlines\t here") == "two lines here"

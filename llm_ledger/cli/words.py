"""How numbers, times and strange text are spelt for people, and read from them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final

__all__ = [
    "ABSENT",
    "age",
    "clock",
    "counted",
    "dollars",
    "one_line",
    "parse_duration",
    "parse_tag",
    "percent",
    "plain",
]

ABSENT: Final = "–"

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_AGES: Final = (("d", 86400), ("h", 3600), ("min", 60))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def dollars(amount: str | None, digits: int | None = 6) -> str:
    """A decimal string of USD for people, rounded half-even to `digits` decimals; None keeps every digit."""
    if amount is None:
        return ABSENT
    value = Decimal(amount)
    if digits is not None:
        with localcontext(prec=60):
            value = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    return f"{'−' if value < 0 else ''}${value.copy_abs():,f}"


def percent(part: str, whole: str) -> str:
    """`part` of `whole` in percent, one decimal; a dash where there is no whole."""
    if not Decimal(whole):
        return ABSENT
    share = 100 * Decimal(part) / Decimal(whole)
    return f"{'−' if share < 0 else ''}{abs(share):.1f} %"


def counted(number: int, thing: str) -> str:
    """`1 batch`, `1,319 requests`."""
    plural = f"{thing}es" if thing.endswith("ch") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"


def clock(micros: int | None) -> str:
    """Microseconds since 1970 as `2026-11-22 10:20:14`, UTC."""
    return ABSENT if micros is None else f"{_EPOCH + timedelta(microseconds=micros):%Y-%m-%d %H:%M:%S}"


def age(seconds: float) -> str:
    """A span in its largest fitting unit: `8 s`, `5 min`, `3 h`, `12 d`."""
    for unit, size in _AGES:
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def plain(text: str) -> str:
    """Text without the power to move a cursor or turn a line around: what does not print is spelt out."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def one_line(text: str) -> str:
    """The same in one line."""
    return plain(" ".join(text.split()))


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `10m`, `1.5h`, `2d` or plain seconds. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no duration; write 90s, 10m, 1h or a number of seconds")
    return float(found[1]) * _UNITS[found[2]]


def parse_tag(text: str) -> tuple[str, str]:
    """Name and value of `name=value`. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r} is no tag; write name=value")
    return name, value

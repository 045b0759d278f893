"""Which cache writes nobody ever read, in whatever order write and read come to light."""

from __future__ import annotations

from itertools import permutations

import pytest

from ledger import Ledger
from ledger.savings import Period
from ledger.summary import savings
from ledger.verify import verify
from tests.support.history import History, prefix, usage

WRITES, WRITES_HOUR, READS = usage(write_5m=1_000_000), usage(write_1h=1_000_000), usage(read=1_000_000)
PREMIUM, PREMIUM_HOUR = "0.25", "1"
"""What a million written tokens of Haiku 4.5 cost above plain input, in dollars."""


def wasted(ledger: Ledger) -> str:
    return str(savings(ledger, Period())["waste"]["unread_writes"])


def answer(history: History, raw: bytes, *blocks: str, model: str = "claude-haiku-4-5") -> None:
    """A call that carries a prefix of these blocks."""
    history.succeed(history.request(mode="standard", model=model, prefix=prefix(*blocks)), raw)


@pytest.mark.parametrize(("raw", "premium"), [(WRITES, PREMIUM), (WRITES_HOUR, PREMIUM_HOUR)])
def test_a_write_that_nobody_reads_is_waste(ledger: Ledger, history: History, raw: bytes, premium: str) -> None:
    answer(history, raw, "system")
    ledger.append(history.take())
    assert wasted(ledger) == premium


@pytest.mark.parametrize("order", ["write first", "read first"])
@pytest.mark.parametrize("together", [True, False])
def test_a_read_redeems_a_write_before_and_after_it(
    ledger: Ledger, history: History, order: str, together: bool
) -> None:
    first, second = (WRITES, READS) if order == "write first" else (READS, WRITES)
    answer(history, first, "system")
    if not together:
        ledger.append(history.take())
    answer(history, second, "system")
    ledger.append(history.take())
    assert wasted(ledger) == "0"
    assert verify(ledger.database).sound


def test_each_write_is_redeemed_by_a_read_of_its_own_prefix(ledger: Ledger, history: History) -> None:
    answer(history, WRITES, "system", "a")
    answer(history, WRITES, "system", "b")
    answer(history, READS, "system", "b", "more")
    ledger.append(history.take())
    assert wasted(ledger) == PREMIUM


def test_writes_of_one_prefix_are_redeemed_together(ledger: Ledger, history: History) -> None:
    for _ in range(3):
        answer(history, WRITES, "system")
    ledger.append(history.take())
    assert wasted(ledger) == "0.75"
    answer(history, READS, "system")
    ledger.append(history.take())
    assert wasted(ledger) == "0"


def test_a_request_that_writes_has_not_read_its_last_block(ledger: Ledger, history: History) -> None:
    """It read what somebody wrote up to the block before."""
    answer(history, WRITES, "system")
    answer(history, usage(read=1_000_000, write_5m=1_000_000), "system", "more")
    ledger.append(history.take())
    assert wasted(ledger) == PREMIUM
    answer(history, READS, "system", "more")
    ledger.append(history.take())
    assert wasted(ledger) == "0"


def test_caches_are_per_model(ledger: Ledger, history: History) -> None:
    answer(history, WRITES, "system")
    answer(history, READS, "system", model="claude-opus-5-5")
    ledger.append(history.take())
    assert wasted(ledger) == PREMIUM


def test_without_breakpoints_nothing_is_known(ledger: Ledger, history: History) -> None:
    for blocks in ((), ("system",)):
        history.succeed(history.request(mode="standard", prefix=prefix(*blocks, unmarked=1)), WRITES)
    ledger.append(history.take())
    assert wasted(ledger) == "0"


def test_a_breakpoint_on_no_known_block_tells_nothing(ledger: Ledger, history: History) -> None:
    history.succeed(history.request(mode="standard", markers=1), WRITES)
    ledger.append(history.take())
    assert wasted(ledger) == "0"
    assert savings(ledger, Period())["cache"]["request_hit_rate"] == "0.0000"


def test_a_call_may_read_what_a_batch_wrote(ledger: Ledger, history: History) -> None:
    """Written at one price, read at another, in different appends."""
    writer = history.request(prefix=prefix("system"))
    history.submitted([writer])
    history.succeed(writer, WRITES)
    ledger.append(history.take())
    assert wasted(ledger) == "0.125"
    history.clock.advance(hours=1)
    answer(history, READS, "system")
    ledger.append(history.take())
    assert wasted(ledger) == "0"
    assert verify(ledger.database).sound


def test_only_blocks_up_to_the_last_breakpoint_count(ledger: Ledger, history: History) -> None:
    marked = (*prefix("system"), *[(digest, tokens, False) for digest, tokens, _ in prefix("system", "tail")[1:]])
    history.succeed(history.request(mode="standard", prefix=marked), WRITES)
    ledger.append(history.take())
    assert wasted(ledger) == PREMIUM
    answer(history, READS, "system")
    ledger.append(history.take())
    assert wasted(ledger) == "0"


def test_a_long_prefix_is_kept_to_its_end(ledger: Ledger, history: History) -> None:
    blocks = [f"block {at}" for at in range(60)]
    answer(history, WRITES, *blocks)
    answer(history, WRITES, "block 0")
    answer(history, READS, *blocks, "more")
    ledger.append(history.take())
    assert wasted(ledger) == PREMIUM


def test_a_duplicates_writes_are_waste_already(ledger: Ledger, history: History) -> None:
    request = history.request(mode="standard", prefix=prefix("system"))
    history.succeed(request, WRITES)
    history.succeed(request, WRITES)
    ledger.append(history.take())
    waste = savings(ledger, Period())["waste"]
    assert (waste["duplicates"], waste["unread_writes"]) == ("1.25", PREMIUM)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("cut", [1, 3])
def test_a_duplicate_in_any_order_and_any_pieces(
    ledger: Ledger, history: History, order: tuple[int, ...], cut: int
) -> None:
    """The answer, its duplicate and a reader: whatever comes first, the write was read."""
    writer = history.request(mode="standard", prefix=prefix("system"))
    reader = history.request(mode="standard", prefix=prefix("system"))
    ledger.append(history.take())
    steps = [(writer, WRITES), (writer, WRITES), (reader, READS)]
    for at in order:
        history.succeed(*steps[at])
        if cut == 1:
            ledger.append(history.take())
    ledger.append(history.take())
    assert wasted(ledger) == "0"
    assert verify(ledger.database).sound


def test_a_read_long_after_finds_writers_of_many_chunks(ledger: Ledger, history: History) -> None:
    for at in range(600):
        answer(history, WRITES, "system", f"question {at}")
    ledger.append(history.take())
    assert wasted(ledger) == "150"
    for at in range(600):
        answer(history, READS, "system", f"question {at}")
    ledger.append(history.take())
    assert wasted(ledger) == "0"
    assert verify(ledger.database).sound


@pytest.mark.parametrize("readers", [{"team": "b"}, {}, {"team": "a"}, {"app": "search"}])
@pytest.mark.parametrize("known", [True, False], ids=["b counted before", "b is new"])
def test_a_read_redeems_a_write_that_other_tags_counted_long_ago(
    ledger: Ledger, history: History, readers: dict[str, str], known: bool
) -> None:
    def answered(raw: bytes, tags: dict[str, str], *blocks: str) -> None:
        history.succeed(history.request(mode="standard", tags=tags, prefix=prefix(*blocks)), raw)
        ledger.append(history.take())

    if known:
        answered(usage(write_5m=1), {"team": "b"}, "something else")
    answered(WRITES, {"team": "a"}, "system")
    answered(READS, readers, "system")
    by_team = {
        group["name"]: group["waste"]["unread_writes"] for group in savings(ledger, Period(), "tag:team")["groups"]
    }
    assert by_team["a"] == "0"
    assert verify(ledger.database).sound

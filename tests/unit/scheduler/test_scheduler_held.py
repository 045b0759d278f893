"""What the budget keeps from being sent is left alone for a while, and no longer than need be."""

from __future__ import annotations

from scheduler.budget import ModelUnpriced
from scheduler.held import Held
from tests.support.manual_clock import ManualClock

ERROR = ModelUnpriced(("new",))


def test_it_rests_for_a_minute_on_a_clock_that_never_jumps() -> None:
    clock = ManualClock()
    held = Held(clock)
    held.happened("a", ERROR)
    clock.jump(86_400)
    clock.advance(59)
    assert held.resting() == ["a"]
    clock.advance(1)
    assert held.resting() == []
    assert held.errors == {"a": ERROR}


def test_freed_money_ends_the_rest_and_only_the_next_try_tells() -> None:
    held = Held(ManualClock())
    for what in "ab":
        held.happened(what, ERROR)
    held.freed()
    assert (held.resting(), sorted(held.errors)) == ([], ["a", "b"])
    held.over("a")
    held.over("unheard of")
    assert sorted(held.errors) == ["b"]

"""Who finds nothing looks ever less often, and at once again when there is something."""

from __future__ import annotations

from scheduler.pace import Pace
from tests.support.clock import FakeClock


def pace(clock: FakeClock, *, least: float = 0.25, most: float = 1.0) -> Pace:
    return Pace(lambda: clock, least=least, most=most)


def rests(pace: Pace, clock: FakeClock, looks: int) -> list[float]:
    """Seconds before each of so many looks, to an eighth."""
    waited: list[float] = []
    for _ in range(looks):
        began = clock.monotonic()
        while not pace.may_look():
            clock.advance(0.125)
        waited.append(clock.monotonic() - began)
    return waited


def test_looks_in_vain_grow_rare(clock: FakeClock) -> None:
    assert rests(pace(clock), clock, 7) == [0, 0, 0.25, 0.5, 1, 1, 1]


def test_after_a_find_it_looks_at_once(clock: FakeClock) -> None:
    ours = pace(clock)
    rests(ours, clock, 5)
    assert not ours.may_look()
    ours.found()
    assert rests(ours, clock, 4) == [0, 0, 0.25, 0.5]


def test_while_there_is_work_nobody_rests(clock: FakeClock) -> None:
    ours = pace(clock)
    for _ in range(9):
        assert ours.may_look()
        ours.found()


def test_it_rests_no_less_than_a_tick(clock: FakeClock) -> None:
    assert rests(pace(clock, least=2.0), clock, 5) == [0, 0, 2, 2, 2]

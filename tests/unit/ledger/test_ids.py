"""Ids ascend, whatever the clock does; derived ones follow from what they are derived from."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.clock import from_micros, to_micros
from ledger.ids import IdFactory, derive
from tests.support.clock import NOON, FakeClock, seeded_ids


def time_of(identity: UUID) -> int:
    """The 48 bits of milliseconds."""
    return identity.int >> 80


def test_an_id_is_a_uuid_of_version_7_with_its_time() -> None:
    clock = FakeClock(NOON + timedelta(microseconds=1_234_567))
    identity = seeded_ids(clock).new()
    assert (identity.version, identity.variant) == (7, RFC_4122)
    assert from_micros(time_of(identity) * 1000) == NOON + timedelta(milliseconds=1234)


def test_microseconds_order_ids_of_different_factories() -> None:
    clock = FakeClock(NOON, step=timedelta(microseconds=1))
    factories = [seeded_ids(clock, seed) for seed in range(3)]
    made = [factories[at % 3].new() for at in range(3000)]
    assert made == sorted(made)


@given(st.lists(st.integers(-5_000_000, 5_000_000), max_size=30))
def test_ids_ascend_even_when_the_clock_goes_back(jumps: list[int]) -> None:
    clock = FakeClock()
    factory = seeded_ids(clock)
    made = [factory.new()]
    for jump in jumps:
        clock.advance(microseconds=jump)
        made += [factory.new(), factory.new()]
    assert made == sorted(set(made))


def test_a_clock_that_stands_still_runs_over_into_the_next_millisecond() -> None:
    factory = seeded_ids()
    made = [factory.new() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert time_of(made[-1]) == to_micros(NOON) // 1000 + 2
    assert {(identity.version, identity.variant) for identity in made} == {(7, RFC_4122)}


def test_a_forked_child_draws_randomness_of_its_own() -> None:
    clock = FakeClock()
    factory = IdFactory(clock)
    factory.new()
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, factory.new().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    # The same clock, the same count: what is left to tell them apart is chance.
    assert UUID(bytes=os.read(read, 16)) != factory.new()
    os.close(read)
    os.close(write)


def test_threads_share_a_factory() -> None:
    factory = IdFactory()
    with ThreadPoolExecutor(4) as pool:
        made = [one for many in pool.map(lambda _: [factory.new() for _ in range(500)], range(8)) for one in many]
    assert len(set(made)) == 4000


def test_random_bits_come_from_outside() -> None:
    assert seeded_ids(seed=1).new() == seeded_ids(seed=1).new()
    assert seeded_ids(seed=1).new() != seeded_ids(seed=2).new()


PARENT = seeded_ids().new()
NAMES: list[tuple[str | int, ...]] = [
    (),
    ("",),
    ("a",),
    ("a", "b"),
    ("ab",),
    ("a", 1),
    ("a", 10),
    (1,),
    ("outcome", 1),
]


def test_a_derived_id_is_always_the_same_one() -> None:
    assert derive(PARENT, "a", 1) == derive(UUID(str(PARENT)), "a", "1")
    other = seeded_ids(seed=5).new()
    assert derive(PARENT, "a") != derive(other, "a")


def test_derived_ids_differ_by_every_name() -> None:
    made = {derive(PARENT, *names) for names in NAMES[1:]}
    assert len(made) == len(NAMES) - 1


@pytest.mark.parametrize("names", NAMES, ids=str)
def test_a_derived_id_keeps_the_shape_and_the_time_of_its_parent(names: tuple[str | int, ...]) -> None:
    child = derive(PARENT, *names)
    assert (child.version, child.variant) == (7, RFC_4122)
    assert time_of(child) == time_of(PARENT)
    assert child != PARENT

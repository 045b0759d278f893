"""Whose batch it is: a nonce proves it at once, that there is none only what two looks have read."""

from __future__ import annotations

import msgspec

from scheduler.context import Context
from scheduler.proof import Proof, read_proof
from scheduler.providers.base import BatchItem, ItemResult
from tests.support.fake_provider import Turn
from tests.support.world import World

THEIRS = frozenset({"theirs"})


def foreign(lines: list[ItemResult]) -> list[ItemResult | Exception]:
    return [msgspec.structs.replace(line, custom_id="theirs-0") for line in lines]


def read(context: Context) -> Proof:
    (batch,) = context.provider.list_newer(None)
    return read_proof(context, batch)


def sent(world: World) -> tuple[Context, frozenset[str]]:
    """One batch that has ended, and the nonce in it."""
    world.send(1)
    world.clock.advance(60)
    return world.context(), frozenset({world.batch().nonce or ""})


def test_only_a_second_reading_rules_out_and_is_the_last(world: World) -> None:
    world.provider.stranger(1)
    world.clock.advance(60)
    context = world.context()
    for complete, readings in ((False, 1), (True, 2), (True, 2)):
        assert read(context) == Proof(THEIRS, whole=True, complete=complete)
        assert world.provider.calls["results"] == readings
        world.clock.advance(1)


def test_two_readings_of_one_moment_are_one(world: World) -> None:
    world.provider.stranger(1)
    world.clock.advance(60)
    context = world.context()
    for _ in range(2):
        assert read(context) == Proof(THEIRS, whole=True)
    assert world.provider.calls["results"] == 1


def test_readings_that_differ_prove_nothing_but_what_they_name(world: World) -> None:
    context, ours = sent(world)
    world.provider.plan("results", Turn(mangle=foreign), Turn(), Turn(mangle=foreign))
    proofs = []
    for _ in range(5):
        proofs.append(read(context))
        world.clock.advance(1)
    assert [proof.nonces for proof in proofs] == [THEIRS, ours, THEIRS, ours, ours]
    assert [proof.complete for proof in proofs] == [False] * 4 + [True]


def test_of_a_long_file_other_lines_may_come_first(world: World) -> None:
    world.provider.hold(BatchItem(f"item{index}-1", b'{"theirs":true}') for index in range(1_500))
    world.clock.advance(60)
    context = world.context()
    first = read(context)
    world.clock.advance(1)
    second = read(context)
    assert first.nonces != second.nonces
    assert (first.complete, second.complete) == (False, True)


def test_a_file_that_breaks_off_is_no_reading(world: World) -> None:
    context, ours = sent(world)
    world.provider.plan("results", Turn(mangle=lambda lines: []), Turn(), Turn(mangle=lambda lines: []))
    proofs = []
    for _ in range(4):
        proofs.append(read(context))
        world.clock.advance(1)
    assert [proof.whole for proof in proofs] == [False, True, False, True]
    assert proofs[-1] == Proof(ours, whole=True, complete=True)

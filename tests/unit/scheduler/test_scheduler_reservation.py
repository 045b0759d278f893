"""What requests may cost at most, by estimate: never less than what is billed, if the estimate is right."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from scheduler.providers.base import RequestFacts
from scheduler.reservation import Estimate, batch_estimate, calls_estimate, fitting, request_estimate
from tests.support.fake_rules import FakeRules
from tests.support.world import World

MILLION = 1_000_000
"""Pico-USD a token at one USD a million tokens."""

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class ToldRules(FakeRules):
    """Params say themselves what would be estimated of them."""

    def check(self, params: dict[str, Any]) -> RequestFacts:
        told = {"estimated_input_tokens": params["tokens"], "markers": params.get("markers", 0)}
        return msgspec.structs.replace(super().check(params), **told)


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.world.FakeRules", ToldRules)


def estimate(world: World) -> Estimate:
    (batch,) = world.plan()
    with world.ledger.read() as connection:
        return batch_estimate(connection, batch.id, NOW)


@pytest.mark.parametrize(
    ("model", "markers", "tokens", "rates"),
    [
        ("claude-sonnet-4-5", 0, 1_000, (1.5, 7.5)),
        # A marked prompt may be written to the cache for an hour: twice the input rate.
        ("claude-sonnet-4-5", 1, 1_000, (3.0, 7.5)),
        # From that generation on the dearest region takes a tenth more.
        ("claude-sonnet-4-6", 0, 1_000, (1.65, 8.25)),
        # A long prompt is dearer as a whole.
        ("claude-haiku-5-5", 0, 100_000, (0.055, 0.275)),
        ("claude-haiku-5-5", 0, 100_001, (0.275, 1.375)),
        ("claude-haiku-5-5", 2, 200_001, (0.55, 1.375)),
    ],
)
def test_each_request_at_its_dearest_batch_rates(
    world: World, model: str, markers: int, tokens: int, rates: tuple[float, float]
) -> None:
    world.submit(1, model=model, markers=markers, tokens=tokens, max_tokens=50)
    per_token = [round(rate * MILLION) for rate in rates]
    assert estimate(world) == Estimate(tokens * per_token[0] + 50 * per_token[1])


def test_kinds_of_requests_add_up(world: World) -> None:
    world.submit(1, model="claude-sonnet-4-5", tokens=10, max_tokens=1)
    world.submit(2, model="claude-sonnet-4-5", markers=1, tokens=10, max_tokens=1)
    world.submit(1, model="claude-haiku-5-5", tokens=10, max_tokens=1)
    (batch,) = world.plan()
    sonnet, marked, haiku = 15_000_000 + 7_500_000, 30_000_000 + 7_500_000, 550_000 + 275_000
    with world.ledger.read() as connection:
        assert batch_estimate(connection, batch.id, NOW) == Estimate(sonnet + 2 * marked + haiku)
        rooms = [0, sonnet - 1, sonnet, sonnet + marked, sonnet + 2 * marked - 1, sonnet + 2 * marked + haiku]
        assert [fitting(connection, batch.id, NOW, room) for room in rooms] == [0, 0, 1, 2, 2, 4]


def test_models_without_a_price_are_named_once(world: World) -> None:
    for model, markers in (("new", 0), ("new", 1), ("newer", 0), ("claude-sonnet-4-5", 0)):
        world.submit(1, model=model, markers=markers, tokens=10)
    assert estimate(world).unpriced == ("new", "newer")


def test_a_price_that_has_not_begun_yet_is_none(world: World) -> None:
    world.submit(1, tokens=10)
    (batch,) = world.plan()
    with world.ledger.read() as connection:
        assert batch_estimate(connection, batch.id, datetime(2000, 1, 1, tzinfo=UTC)).unpriced != ()


def test_a_call_costs_the_standard_rates(world: World) -> None:
    world.submit(1, tokens=10, max_tokens=1)
    (row,) = world.requests()
    with world.ledger.read() as connection:
        assert request_estimate(connection, row.id, NOW) == Estimate(10 * 3 * MILLION + 15 * MILLION)
        assert calls_estimate(connection, NOW) == Estimate(0)


def test_sums_beyond_64_bits(world: World) -> None:
    world.policy = msgspec.structs.replace(world.policy, max_requests=100)
    world.submit(100, model="claude-opus-4-1", tokens=2**31, max_tokens=2**31 - 1)
    assert estimate(world).pico == 100 * (2**31 * 7_500_000 + (2**31 - 1) * 37_500_000) > 2**63

"""Some seeds, with the coverage that they give; `make test` plays 5,000 without measuring that, which takes a third.

One that fails tells its story again: `python -m tests.simulation SEED`.
"""

from __future__ import annotations

import pytest

from ledger import Ledger
from ledger.prices import adopt_packaged_prices
from tests.simulation.running import failures, replay, run
from tests.support.databases import on_postgres
from tests.support.ledgers import bare_ledger

BLOCK = 100
BLOCKS = 2


@pytest.mark.parametrize("first", range(0, BLOCK * BLOCKS, BLOCK))
def test_every_invariant_holds_whatever_goes_wrong(first: int) -> None:
    failed = [failure for found in failures(range(first, first + BLOCK)) for failure in found]
    told = [f"{replay(failure.seed)}\n{failure.text}" for failure in failed[:3]]
    assert not failed, f"{len(failed)} seeds fail\n" + "\n".join(told)


@pytest.mark.parametrize("seed", range(50 if on_postgres() else 10))
def test_the_same_seed_gives_the_same_log_on_an_ordinary_database(seed: int) -> None:
    assert run(seed, _ordinary().database).head == run(seed).head


def test_the_same_seed_gives_the_same_log() -> None:
    heads = [[run(seed).head for seed in range(20)] for _ in range(2)]
    assert heads[0] == heads[1]
    assert len(set(heads[0])) == 20


def _ordinary() -> Ledger:
    ledger = bare_ledger()
    adopt_packaged_prices(ledger)
    return ledger

"""A process is killed at every crash point, on its first run and while it recovers from such a death.

Whoever comes after finishes what it began: nothing is lost, nothing is paid twice.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.backends import open_database
from ledger.crash_points import STEPS
from tests.support.crash_checks import acknowledged, assert_over, assert_rebuilt
from tests.support.crash_matrix import first_deaths, scenarios, step_of
from tests.support.crash_stage import Stage, stage
from tests.support.databases import on_postgres

KILLS_PER_DATABASE = 96

SCENARIOS = scenarios()
FIRST = [deaths[0] for deaths in SCENARIOS if len(deaths) == 1]


def is_for_the_soak(deaths: tuple[str, ...]) -> bool:
    """A point that is reached often is killed at twice, and recovery is the same steps on either database: the later
    time, and deaths during recovery on Postgres, would take too long on every push."""
    return "#" in deaths[-1] or (len(deaths) > 1 and on_postgres())


PLAYED = [
    pytest.param(deaths, id=" > ".join(deaths), marks=[pytest.mark.soak] if is_for_the_soak(deaths) else [])
    for deaths in SCENARIOS
]
SECOND = {deaths[1] for deaths in SCENARIOS if len(deaths) == 2}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("stage")) as played:
        yield played


@pytest.mark.parametrize("deaths", PLAYED)
def test_killed_there_others_finish_and_pay_once(played: Stage, deaths: tuple[str, ...]) -> None:
    url = played.scene()
    with Ledger(open_database(url)) as ledger:
        told: dict[int, UUID] = {}
        for death in deaths:
            assert played.live(url, death=death) == signal.SIGKILL
            told |= acknowledged(ledger)
        assert set(played.traced(url)) <= SECOND, "python -m tests.support.crash_matrix makes the plan anew"
        died_calling = any(step_of(death) == "call" for death in deaths)
        assert_over(ledger, played.simulator, told, died_calling=died_calling)
        if len(deaths) > 1:
            assert_rebuilt(ledger)


def test_the_matrix_leaves_no_point_out(played: Stage) -> None:
    assert first_deaths(played.traced(played.scene())) == FIRST
    assert sum(len(deaths) for deaths in SCENARIOS if "#" not in deaths[-1]) >= KILLS_PER_DATABASE


def test_every_step_is_in_it() -> None:
    assert {step_of(death) for deaths in SCENARIOS for death in deaths} == set(STEPS)

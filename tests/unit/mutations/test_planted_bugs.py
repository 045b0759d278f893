"""The bugs that `make mutations` plants keep up with the code; whether each is caught takes minutes to see."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.mutations.planted import PLANTED, Planted
from tests.mutations.workshop import ROOT, places


@pytest.mark.parametrize("bug", PLANTED, ids=[bug.name for bug in PLANTED])
def test_it_can_be_planted(bug: Planted) -> None:
    assert places(bug) == 1
    sound = (ROOT / bug.file).read_text()
    ast.parse(sound.replace(bug.text, bug.instead))
    assert bug.text != bug.instead


@pytest.mark.parametrize("bug", PLANTED, ids=[bug.name for bug in PLANTED])
def test_its_tests_are_there(bug: Planted) -> None:
    for test in bug.tests:
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in (ROOT / file).read_text()


def test_there_are_thirty_of_them_and_none_twice() -> None:
    assert len(PLANTED) >= 30
    assert max(Counter(bug.name for bug in PLANTED).values()) == 1

"""However a history is cut, its projections are the same; and made anew from the log they are the same again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import NewEvent
from ledger.rebuild import differences, rebuild
from tests.support.ledgers import bare_ledger, dump
from tests.support.random_history import Step, play, steps

pieces = st.lists(st.sampled_from([1, 1, 2, 3, 5, 8, 13, 40]), min_size=1, max_size=8)


def dump_of(events: list[NewEvent], sizes: list[int]) -> dict[str, Any]:
    """Appended in pieces of these sizes, over and over. The stored state must be what the log amounts to."""
    with bare_ledger() as ledger:
        at = turn = 0
        while at < len(events):
            size = sizes[turn % len(sizes)]
            ledger.append(events[at : at + size])
            at, turn = at + size, turn + 1
        return dump(ledger.database)


@settings(max_examples=35)
@given(steps(), pieces)
def test_pieces_of_any_size_fold_to_the_same(script: list[Step], sizes: list[int]) -> None:
    events = play(script)
    assert dump_of(events, sizes) == dump_of(events, [len(events)])


@settings(max_examples=25)
@given(steps(), st.sampled_from([1, 2, 7, 2000]))
def test_a_rebuild_gives_the_same(script: list[Step], chunk: int) -> None:
    with bare_ledger() as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.replay.PORTION", chunk)
        events = play(script)
        ledger.append(events)
        before = dump(ledger.database)
        assert differences(ledger.database) == []
        assert rebuild(ledger.database) == len(events)
        assert dump(ledger.database) == before

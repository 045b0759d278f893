"""Group commit: who waits is written together, and nobody pays for another's refusal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from ledger.encoding import EncodedEvent, encode
from ledger.errors import DatabaseUnusable
from ledger.turns import GROUP, Append, Turns
from tests.support.history import History


def events(count: int = 1) -> list[EncodedEvent]:
    history = History()
    for _ in range(count):
        history.configure()
    return encode(history.take())


def append(count: int = 1) -> Append:
    return Append(events(1) * count, (), None)


class Disk:
    """Stands in for the database: notes the groups, and waits in the first write until `gate` is opened."""

    def __init__(self, refuse: Callable[[Sequence[Append]], BaseException | None] = lambda _group: None) -> None:
        self.groups: list[list[Append]] = []
        self.gate = threading.Event()
        self.writing = threading.Event()
        self._refuse = refuse

    def write(self, group: Sequence[Append]) -> None:
        self.groups.append(list(group))
        if not self.writing.is_set():
            self.writing.set()
            assert self.gate.wait(10)
        if refusal := self._refuse(group):
            raise refusal
        for one in group:
            one.positions = [len(self.groups)]

    @property
    def sizes(self) -> list[int]:
        return [len(group) for group in self.groups]


def all_at_once(turns: Turns, disk: Disk, first: Append, others: Sequence[Append]) -> list[Future[list[int]]]:
    """`first` is being written while the others come, one after another; then the disk answers."""
    with ThreadPoolExecutor(1 + len(others)) as pool:
        futures = [pool.submit(turns.take, first)]
        assert disk.writing.wait(10)
        for count, other in enumerate(others, start=1):
            futures.append(pool.submit(turns.take, other))
            until(partial(_are_waiting, turns, count))
        disk.gate.set()
    return futures


def _are_waiting(turns: Turns, count: int) -> bool:
    return len(turns._waiting) == count


def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        time.sleep(0.001)
    pytest.fail("it did not come to that within 10 s")


def outcome(future: Future[list[int]]) -> Any:
    return future.exception() or future.result()


def test_alone_it_is_written_alone() -> None:
    disk = Disk()
    disk.gate.set()
    turns = Turns(disk.write)
    assert [turns.take(append()) for _ in range(3)] == [[1], [2], [3]]
    assert disk.sizes == [1, 1, 1]


def test_what_waits_is_written_together() -> None:
    disk = Disk()
    futures = all_at_once(Turns(disk.write), disk, append(), [append() for _ in range(5)])
    assert disk.sizes == [1, 5]
    assert [outcome(future) for future in futures] == [[1], *[[2]] * 5]


def test_a_group_is_full_at_some_point() -> None:
    disk = Disk()
    half = GROUP // 2
    others = [append(half), append(half), append(1), append(GROUP * 3), append(1)]
    futures = all_at_once(Turns(disk.write), disk, append(), others)
    assert [[len(one.events) for one in group] for group in disk.groups] == [[1], [half, half], [1], [GROUP * 3], [1]]
    assert all(future.exception() is None for future in futures)


def test_a_refusal_is_its_own_alone() -> None:
    others = [append() for _ in range(4)]
    refused = others[2]
    disk = Disk(lambda group: ValueError("no") if refused in group else None)
    futures = all_at_once(Turns(disk.write), disk, append(), others)
    assert disk.sizes == [1, 4, 1, 1, 1, 1]
    assert [outcome(future) for future in futures[:3]] == [[1], [3], [4]]
    assert str(futures[3].exception()) == "no"
    assert outcome(futures[4]) == [6]


def test_one_caller_may_bring_many() -> None:
    own = [append() for _ in range(3)]
    disk = Disk(lambda group: ValueError("no") if own[1] in group else None)
    disk.gate.set()
    turns = Turns(disk.write)
    turns.take_all([*own, append(0)])
    assert disk.sizes == [3, 1, 1, 1]
    assert [one.positions for one in own] == [[2], None, [4]]
    with pytest.raises(ValueError, match="no"):
        own[1].result()
    turns.take_all([])
    assert turns.take(append(0)) == []
    assert disk.sizes == [3, 1, 1, 1]


def test_while_the_database_is_down_nobody_waits_for_his_own_turn() -> None:
    disk = Disk(lambda _group: DatabaseUnusable("locked"))
    disk.gate.set()
    own = [append() for _ in range(9)]
    Turns(disk.write).take_all(own)
    assert disk.sizes == [9, 0]
    assert [str(one.refusal) for one in own] == ["locked"] * 9


def test_what_only_one_append_is_told_is_not_what_all_are_told() -> None:
    own = [append() for _ in range(3)]
    disk = Disk(lambda group: DatabaseUnusable("too long for an index") if own[0] in group else None)
    disk.gate.set()
    Turns(disk.write).take_all(own)
    assert disk.sizes == [3, 0, 1, 1, 1]
    assert [one.positions is not None for one in own] == [False, True, True]


def test_callers_who_come_again_and_again_stay_together() -> None:
    groups: list[int] = []

    def write(group: Sequence[Append]) -> None:
        groups.append(len(group))
        time.sleep(0.002)
        for one in group:
            one.positions = [0]

    turns = Turns(write)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: [turns.take(append()) for _ in range(20)], range(8)))
    assert sum(groups) == 160
    assert len(groups) <= 60


class Stopped(BaseException):
    """As a KeyboardInterrupt, which a test had better not raise."""


@pytest.mark.parametrize("alone", [False, True], ids=["in the group", "while they go one by one"])
def test_a_thread_that_is_stopped_leaves_the_others_to_go_on(alone: bool) -> None:
    others = [append() for _ in range(4)]
    stopped = threading.Event()

    def refuse(group: Sequence[Append]) -> BaseException | None:
        if alone and len(group) > 1:
            return ValueError("no")
        if others[1] in group and not stopped.is_set():
            stopped.set()
            return Stopped()
        return None

    disk = Disk(refuse)
    futures = all_at_once(Turns(disk.write), disk, append(), others)
    outcomes = [outcome(future) for future in futures]
    (leader,) = (at for at, found in enumerate(outcomes) if isinstance(found, Stopped))
    assert all(isinstance(found, list) for at, found in enumerate(outcomes) if at != leader)
    written = [one for group in disk.groups for one in group]
    assert all(one in written for one in others)


def test_what_a_stopped_thread_wanted_is_not_written_behind_its_back() -> None:
    own = append()
    disk = Disk(lambda group: Stopped() if own in group else None)
    disk.gate.set()
    turns = Turns(disk.write)
    with pytest.raises(Stopped):
        turns.take(own)
    assert turns.take(append()) == [2]
    assert own.positions is None
    assert disk.sizes == [1, 1]

"""The recorder: nobody waits for it, nothing gets lost on the way, and what is committed is what was called."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger import Ledger, queries, shared_writer
from ledger.errors import ConfigurationError, DatabaseUnusable
from ledger.projections import RequestRow
from ledger.spool import Spool, spool_files
from ledger.writer import Writer
from llm_optimization.recording import Answered, CallRecorder, FinishedCall, recorder_for
from llm_optimization.recording.behind import Behind, behind

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
MODEL = "claude-sonnet-5-5"
USAGE = {"input_tokens": 7, "output_tokens": 9}


@dataclass(frozen=True)
class Place:
    """As much of a configuration as a recorder needs."""

    database_url: str | None = None


def call(text: str = "Hello", **changes: Any) -> FinishedCall:
    params = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}
    fields: dict[str, Any] = {
        "provider": "anthropic",
        "model": MODEL,
        "params": params,
        "outcome": Answered(MODEL, usage=USAGE),
        "finished_at": AT,
    }
    return FinishedCall(**{**fields, **changes})


def rows(url: str, **choice: Any) -> list[RequestRow]:
    with Ledger.open(url) as ledger:
        return list(queries.requests(ledger, **choice))


@pytest.fixture
def recorder(ledger_url: str) -> CallRecorder:
    return recorder_for(Place(ledger_url))


def test_a_recorded_call_is_in_the_ledger_after_a_flush(recorder: CallRecorder, ledger_url: str) -> None:
    recorder.record(call(tags={"team": "search"}))
    assert recorder.flush(10)
    (row,) = rows(ledger_url)
    assert (row.status, row.mode, row.key, row.tags) == ("succeeded", "standard", "calls", '{"team":"search"}')
    assert (row.id, len(msgspec.json.decode(row.usage))) == (row.custom_id, 1)


def test_what_a_caller_changes_afterwards_changes_no_record(recorder: CallRecorder, ledger_url: str) -> None:
    held, done = threading.Event(), call()
    behind.put(lambda: held.wait(10))
    tags = {"team": "search"}
    once = call(tags=tags)
    recorder.record(once)
    once.params["messages"][0]["content"] = "something else"  # type: ignore[index]
    tags["team"] = "other"
    held.set()
    recorder.record(done)
    assert recorder.flush(10)
    first, second = rows(ledger_url)
    assert first.params_hash == second.params_hash
    assert first.tags == '{"team":"search"}'


def test_all_ask_for_the_same_recorder(
    recorder: CallRecorder, ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recorder_for(Place(ledger_url)) is recorder_for(Place()) is recorder
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    relative = Place("sqlite:///calls.db")
    monkeypatch.chdir(tmp_path)
    here = recorder_for(relative)
    monkeypatch.chdir(elsewhere)
    there = recorder_for(relative)
    assert here is not there
    there.record_sync(call())
    assert (elsewhere / "calls.db").exists()
    assert not (tmp_path / "calls.db").exists()
    shared_writer(relative.database_url).close()
    assert recorder_for(relative) is not there


def test_a_url_that_can_be_none_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError):
        recorder_for(Place("mysql://somewhere"))


def test_waiting_for_the_commit(recorder: CallRecorder, ledger_url: str) -> None:
    recorder.record_sync(call("NUL \0 and é", model="m\0"))
    assert [row.status for row in rows(ledger_url)] == ["succeeded"]


def test_loops_and_threads_share_it(recorder: CallRecorder, ledger_url: str) -> None:
    async def many(key: str) -> None:
        await asyncio.gather(*(recorder.arecord_sync(call(key=key)) for _ in range(5)))
        for _ in range(5):
            recorder.record(call(key=key))

    asyncio.run(many("first"))
    threads = [threading.Thread(target=lambda name=name: asyncio.run(many(name))) for name in ("second", "third")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.flush(10)
    assert [len(rows(ledger_url, key=key)) for key in ("first", "second", "third")] == [10, 10, 10]


async def test_who_is_cancelled_leaves_the_record_behind(recorder: CallRecorder, ledger_url: str) -> None:
    waiting = asyncio.create_task(recorder.arecord_sync(call()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert recorder.flush(10)
    assert len(rows(ledger_url)) == 1


class Down:
    """A database that takes nothing until it is up again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.is_up = False

    def __call__(self) -> Ledger:
        if not self.is_up:
            raise OSError("no route to the database")
        return Ledger.open(self._url)


@pytest.fixture
def down(tmp_path: Path) -> Iterator[tuple[Down, CallRecorder, Writer, Spool]]:
    database = Down(f"sqlite:///{tmp_path / 'ledger.db'}")
    spool = Spool(tmp_path / "ledger.db", max_bytes=1 << 20)
    writer = Writer(database, spool)
    yield database, CallRecorder(writer), writer, spool
    writer.close()


async def test_with_the_database_down_answers_go_out_and_records_wait_in_the_spool(
    down: tuple[Down, CallRecorder, Writer, Spool], caplog: pytest.LogCaptureFixture
) -> None:
    database, recorder, writer, spool = down
    recorder.record(call())
    recorder.record_sync(call())
    await recorder.arecord_sync(call())
    assert recorder.flush(10)
    assert (writer.spooled, writer.dropped) == (3, 0)
    assert len([line for line in caplog.messages if "spooled" in line]) == 1
    database.is_up = True
    writer.close()
    with database() as ledger:  # takes in what waits
        assert len(list(queries.requests(ledger))) == 3
    assert not spool_files(spool.base)


def test_after_the_writers_end_calls_go_to_the_spool(down: tuple[Down, CallRecorder, Writer, Spool]) -> None:
    _, recorder, writer, _ = down
    writer.close()
    recorder.record(call())
    recorder.record_sync(call())
    assert recorder.flush(10)
    assert writer.spooled == 2


def test_a_call_that_no_event_can_tell_of_is_named_without_its_text(
    recorder: CallRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.record(call(finished_at="yesterday, said the prompt"))
    recorder.record_sync(call(finished_at=None))
    assert recorder.flush(10)
    assert [line for line in caplog.messages if "is lost" in line] == [
        "a call record is lost, since it cannot be made: AttributeError"
    ] * 2


def test_where_the_thread_cannot_keep_up_work_is_done_by_who_brings_it() -> None:
    hands, busy, goes_on = Behind(capacity=1), threading.Event(), threading.Event()
    done: list[str] = []
    hands.put(lambda: (busy.set(), goes_on.wait(10)))
    assert busy.wait(10)
    hands.put(lambda: done.append("by the thread"))
    hands.put(lambda: done.append("at once"))
    assert done == ["at once"]
    goes_on.set()
    assert hands.flush(10)
    assert done == ["at once", "by the thread"]


def test_at_the_end_nothing_is_left_undone() -> None:
    hands, busy, goes_on = Behind(), threading.Event(), threading.Event()
    done: list[int] = []
    hands.put(lambda: (busy.set(), goes_on.wait(10)))
    assert busy.wait(10)
    for number in range(3):
        hands.put(lambda number=number: done.append(number))
    hands.finish(0.01)
    assert done == [0, 1, 2]
    goes_on.set()


def test_work_is_done_without_being_asked_for_however_deep_the_thread_sleeps() -> None:
    hands = Behind(moment_seconds=0.001, patience=1)
    for number in range(100):
        done = threading.Event()
        hands.put(done.set)
        assert done.wait(10)
        time.sleep(number % 10 / 2000)


@pytest.mark.parametrize("starts", [True, False])
def test_what_comes_while_the_thread_is_started_starts_no_other(
    starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands, started, done = Behind(), [], []
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == 1:
            hands.put(lambda: done.append("second"))
        if not starts:
            raise RuntimeError("can't start new thread at interpreter shutdown")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    hands.put(lambda: done.append("first"))
    assert hands.flush(10)
    assert (done, len(started)) == (["first", "second"], 1)


def test_after_the_end_no_thread_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Behind()
    hands.finish()
    monkeypatch.setattr(threading.Thread, "start", lambda _thread: pytest.fail("a thread"))
    done: list[str] = []
    hands.put(lambda: done.append("here"))
    assert done == ["here"]


SCRIPT = """
import atexit, multiprocessing, os, sys
if sys.argv[1] == "handler":
    atexit.register(lambda: record("late"))  # called after ours
from test_recording_recorder import Place, call
from llm_optimization.recording import recorder_for

def record(key):
    recorder = recorder_for(Place())
    for _ in range(20):
        recorder.record(call(key=key))

if __name__ == "__main__":
    record("before")
    if sys.argv[1] == "fork":
        child = os.fork()
        record("child" if child == 0 else "parent")
        if child:
            assert os.waitpid(child, 0)[1] == 0
    elif sys.argv[1] == "work":
        worker = multiprocessing.get_context("fork").Process(target=record, args=("child",))
        worker.start()
        worker.join()
        assert worker.exitcode == 0
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("plain", {"before": 20}),
        ("fork", {"before": 20, "parent": 20, "child": 20}),
        ("work", {"before": 20, "child": 20}),
        ("handler", {"before": 20, "late": 20}),
    ],
)
def test_a_process_that_ends_takes_no_call_along(ledger_url: str, ending: str, expected: dict[str, int]) -> None:
    Ledger.open(ledger_url).close()
    done = run(SCRIPT, ending)
    # What comes after the writer's end is spooled; from Python 3.12 on, so is what comes before its beginning.
    assert (done.returncode, [line for line in done.stderr.splitlines() if "are spooled" not in line]) == (0, [])
    assert {key: len(rows(ledger_url, key=key)) for key in expected} == expected


class Held:
    """Records a call when nobody holds it any more."""

    def __del__(self) -> None:
        with suppress(DatabaseUnusable):
            recorder_for(Place()).record(call(key="lost"))


HELD = """
from test_recording_recorder import Held, Place, call
from llm_optimization.recording import recorder_for

held = Held()
recorder_for(Place()).record_sync(call(key="before"))
"""


def test_a_call_that_comes_to_light_after_the_end_keeps_no_process_from_leaving(ledger_url: str) -> None:
    done = run(HELD)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row.key for row in rows(ledger_url)] == ["before"]

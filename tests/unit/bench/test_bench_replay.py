"""Recorded sessions played again: how blocks become messages, and what of them is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.replay import __main__ as command
from bench.replay.play import Missed, play
from bench.replay.prompts import Part, divided, prompt_of
from bench.replay.sessions import BLOCK_TOKENS, Call, Session, best_hits, read_sessions, shared
from llm_ledger.simulator import RunningSimulator, SimulatorConfig, running

MODEL = "claude-opus-4-8"


def call(start: float, *blocks: int, out: int = 64, subagent: bool = False, model: str = MODEL) -> Call:
    return Call(start, model, len(blocks) * BLOCK_TOKENS + 5, out, blocks, subagent)


def session(*calls: Call, name: str = "one") -> Session:
    return Session(name, 2 * BLOCK_TOKENS, 30 * BLOCK_TOKENS + 9, calls)


FIRST = tuple(range(40))
TALK = session(
    call(0, *FIRST),
    call(10, *FIRST, 40, 41, 42),
    call(20, *FIRST, 40, 41, 43, 44, out=640),
    call(400, *FIRST, 40, 41, 43, 44, 45, 46),
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with running(SimulatorConfig(time_scale=0)) as simulator:
        yield simulator


def recorded(folder: Path, *requests: dict[str, Any]) -> Path:
    top = {"id": "one", "tool_tokens": 128, "system_tokens": 64, "requests": requests}
    (folder / "one.json").write_text(json.dumps(top))
    return folder


def request(at: float, *blocks: int) -> dict[str, Any]:
    return {"t": at, "type": "n", "model": MODEL, "in": len(blocks) * 64, "out": 1, "hash_ids": blocks}


def test_a_subagents_requests_count_from_its_start(tmp_path: Path) -> None:
    run = {"t": 9.0, "type": "subagent", "duration_ms": 5_000, "requests": [request(0.0, 7), request(2.0, 7, 8)]}
    (found,) = read_sessions(recorded(tmp_path, request(0.0, 1), run, request(10.0, 1, 2)))
    assert [(one.start, one.subagent) for one in found.calls] == [(0, False), (4, True), (6, True), (10, False)]


def test_the_best_hit_is_the_longest_run_of_blocks_alive() -> None:
    assert best_hits(TALK.calls, 300) == [0, 40, 42, 0]
    assert best_hits(TALK.calls, 380) == [0, 40, 42, 44]
    assert best_hits([call(0, 1, 2), call(1, 1, 2, model="other")], 300) == [0, 0]


def test_shared_beginnings() -> None:
    assert [shared((1, 2), other) for other in ((1, 2, 3), (1,), (2,), ())] == [2, 1, 0, 0]


def test_new_blocks_are_the_answer_and_then_the_users() -> None:
    preamble = [Part("tools", 2), Part("system", 32)]
    first = [*preamble, Part("user", 40)]
    assert [parts for _, parts in divided(TALK)] == [
        first,
        [*first, Part("assistant", 41), Part("user", 43)],
        [*first, Part("assistant", 41), Part("user", 44)],
        [*first, Part("assistant", 41), Part("user", 44), Part("assistant", 45), Part("user", 46)],
    ]


def test_a_longer_prompt_under_another_system_prompt_keeps_its_messages() -> None:
    other = tuple(range(100, 142))
    (_, before), (_, after) = divided(session(call(0, *FIRST), call(9, *FIRST[:5], *other)))
    assert after == [*before, Part("assistant", 41), Part("user", 47)]
    (_, before), (_, after) = divided(session(call(0, *FIRST), call(9, *FIRST[:5], *other[:30])))
    assert after == [before[0], Part("user", 35)]


def test_subagents_share_their_system_prompt() -> None:
    found = divided(session(call(0, 1, 2, 3, 4, subagent=True), call(1, 1, 2, 3, 5, 6, subagent=True)))
    assert [parts for _, parts in found] == [
        [Part("system", 3), Part("user", 4)],
        [Part("system", 3), Part("user", 5)],
    ]


@pytest.mark.parametrize("cut", ["message", "block"])
def test_a_played_session_reads_what_it_wrote(simulator: RunningSimulator, cut: Any) -> None:
    name = f"talk-{cut}"
    played = play(session(*TALK.calls, name=name), "5m", simulator, cut)
    assert (played.calls, played.input_tokens, played.best) == (4, 173 * BLOCK_TOKENS + 20, 82 * BLOCK_TOKENS)
    assert played.read == 80 * BLOCK_TOKENS
    assert played.missed == Missed(in_message=2 * BLOCK_TOKENS)
    hour = play(session(*TALK.calls, name=name), "1h", simulator, cut)
    assert (hour.read, hour.missed) == (124 * BLOCK_TOKENS, Missed(in_message=2 * BLOCK_TOKENS))


def test_a_prompt_of_blocks_says_the_same_as_one_of_messages() -> None:
    _, (_, parts), *_ = divided(TALK)
    whole, pieces = (prompt_of(TALK.calls[1].blocks, parts, cut) for cut in ("message", "block"))
    assert [message.text for message in whole.messages] == [message.text for message in pieces.messages]
    assert [len(message.content) for message in pieces.messages] == [30, 8, 1, 2]


def test_the_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recorded(tmp_path, request(0.0, *range(40)), request(5.0, *range(42)))
    assert command.main(["--sessions", str(folder), "--ttl", "1h"]) == 0
    assert "| all | 2 | 5,248 | 2,560 = 0.4878 | 2,560 = 0.4878 | 0.00 | 0 | 0 | 0 |" in capsys.readouterr().out


def test_a_folder_without_sessions_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--sessions", str(tmp_path)]) == 2
    assert "holds no session" in capsys.readouterr().err
    (tmp_path / "one.json").write_text("{}")
    assert command.main(["--sessions", str(tmp_path)]) == 2
    assert "is no recorded session" in capsys.readouterr().err

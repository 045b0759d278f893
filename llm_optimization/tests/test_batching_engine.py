"""The scheduler within an application: shared, there while somebody waits, gone when nobody does."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from pydantic import BaseModel

from ledger import Ledger
from ledger.errors import (
    ChangedRequest,
    ConfigurationError,
    DatabaseUnavailable,
    DatabaseUnusable,
    InvalidLine,
    InvalidRequest,
    ProviderError,
    UnknownId,
)
from ledger.events import RequestRecorded
from llm_ledger.simulator import RunningSimulator
from llm_optimization.batching import Engine, Line, Names, account_settings, engine_for
from llm_optimization.batching.awaited import Wait
from scheduler import Context, Loop, Policy, Worker, providers
from scheduler.providers.anthropic import AnthropicSettings
from tests.support.batching import KEY, NOW, events_of, hurry, no_thread, params, slow_provider


@pytest.fixture(autouse=True)
def url(ledger_url: str, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> str:
    simulator.reset()
    hurry(monkeypatch, simulator)
    return ledger_url


@pytest.fixture
def engine(url: str) -> Engine:
    return engine_for(None, NOW)


def lines(*questions: str) -> list[Line]:
    names = Names()
    return [names.line(params(question)) for question in questions]


def ids(some: Sequence[Line]) -> list[str]:
    return [line.custom_id for line in some]


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("llm-ledger")]


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def test_it_works_until_what_is_awaited_has_ended_and_no_longer(engine: Engine) -> None:
    some = lines("a", "b")
    assert engine.submit(some, key="k").recorded == 2
    assert ours() == []
    engine.work("k", ids(some))
    assert [outcome.status for outcome in engine.outcomes("k", ids(some)).values()] == ["succeeded"] * 2
    until(lambda: ours() == [])


def test_several_who_wait_share_the_work(engine: Engine, simulator: RunningSimulator) -> None:
    some = lines("a", "b")
    engine.submit(some, key="k")
    futures = [engine.expect("k", [custom_id]) for custom_id in ids(some)]
    for future in futures:
        future.result(30)
    assert simulator.log()["creates_seen"] == 1


def test_there_is_one_for_each_ledger_account_and_policy(url: str, tmp_path: Path) -> None:
    other_account = AnthropicSettings(api_key="sk-another")
    assert engine_for(None, NOW) is engine_for(None, replace(NOW, tags={"a": "b"}))
    assert engine_for(other_account, NOW) is not engine_for(None, NOW)
    assert engine_for(None, replace(NOW, batch_max_size=7)) is not engine_for(None, NOW)
    elsewhere = replace(NOW, database_url=f"sqlite:///{tmp_path / 'another.db'}")
    assert engine_for(None, elsewhere) is not engine_for(None, NOW)


def test_another_process_may_do_the_work(url: str, engine: Engine, simulator: RunningSimulator) -> None:
    """Here another worker does, while ours meets nothing but refusals to make a batch."""
    some = lines("a")
    engine.submit(some, key="k")
    settings = AnthropicSettings(api_key=KEY, base_url=simulator.base_url)
    with Ledger.open(url) as ledger:
        policy = Policy(max_age_seconds=0, poll_min_seconds=0.02, poll_max_seconds=0.1)
        provider = providers.provider("anthropic", settings)
        with Loop(Worker(Context(ledger=ledger, provider=provider, policy=lambda: policy)), tick_seconds=0.02):
            until(lambda: engine.outcomes("k", ids(some))[some[0].custom_id].status == "succeeded")
        provider.close()
    engine.work("k", ids(some))
    assert simulator.log()["creates_seen"] == 1


def test_batches_of_another_account_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with slow_provider() as slow:
        hurry(monkeypatch, slow)
        some, ours_ = lines("a"), engine_for(None, NOW)
        ours_.submit(some, key="k")
        waiting = ours_.expect("k", ids(some))
        until(lambda: len(slow.log()["batches"]) == 1)
        waiting.cancel()
        until(lambda: ours() == [])
        another = engine_for(AnthropicSettings(api_key="sk-another", base_url=slow.base_url), NOW)
        with pytest.raises(ProviderError, match="another account"):
            another.work("k", ids(some))
        slow.advance(61)
        ours_.work("k", ids(some))


def test_a_provider_that_does_not_answer_is_given_up_some_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_optimization.batching.watch.GIVE_UP_AFTER_SECONDS", 0.0)
    some = lines("a")
    engine = engine_for(AnthropicSettings(api_key=KEY, base_url="http://127.0.0.1:9", read_retries=0), NOW)
    engine.submit(some, key="k")
    with pytest.raises(ProviderError, match=r"gave up after 0 s: cannot reach http://127\.0\.0\.1:9"):
        engine.work("k", ids(some), timeout=30)
    assert engine.outcomes("k", ids(some))[some[0].custom_id].status == "pending"


def test_a_step_that_breaks_is_told_to_who_waits(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("a bug")

    some = lines("a")
    engine.submit(some, key="k")
    monkeypatch.setattr("scheduler.worker.accumulate", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        engine.work("k", ids(some), timeout=30)


def test_a_database_that_is_gone_for_a_moment_is_waited_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, simulator: RunningSimulator
) -> None:
    some = lines("a")
    engine.submit(some, key="k")
    troubles = [DatabaseUnavailable("out of room")]
    look = Wait.look

    def troubled(wait: Wait, ledger: Ledger) -> bool:
        if troubles:
            raise troubles.pop()
        return look(wait, ledger)

    monkeypatch.setattr(Wait, "look", troubled)
    engine.work("k", ids(some), timeout=30)
    assert simulator.bill()["requests"] == 1


def test_who_waits_for_what_is_not_on_record_is_told(engine: Engine) -> None:
    engine.submit(lines("a"), key="k")
    with pytest.raises(UnknownId, match="no request of that custom_id is on record under key 'k'"):
        engine.work("k", ["nobody"])


def test_a_bad_line_is_named_and_nothing_is_recorded(url: str, engine: Engine) -> None:
    names = Names()
    some = [names.line(params("a")), names.line(params("b", max_tokens="many"))]
    with pytest.raises(InvalidLine, match=r"^line 2: params.max_tokens"):
        engine.submit(some, key="k")
    assert events_of(url, RequestRecorded) == []


def test_lines_that_are_on_record_keep_the_others_numbers(engine: Engine) -> None:
    engine.submit(lines("a"), key="k")
    names = Names()
    some = [names.line(params("a")), names.line(params("b", max_tokens="many"))]
    assert list(engine.submit_valid(some, key="k")) == [some[1].custom_id]
    counts = engine.submit(lines("a", "c"), key="k")
    assert (counts.total, counts.recorded, counts.skipped) == (2, 1, 1)


def test_a_given_id_with_other_params_is_refused(engine: Engine) -> None:
    engine.submit([Line("mine", b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}]}')], key="k")
    with pytest.raises(ChangedRequest, match="'mine'"):
        engine.submit(
            [Line("mine", b'{"model":"m","max_tokens":2,"messages":[{"role":"user","content":"a"}]}')], key="k"
        )


def test_a_database_that_cannot_be_a_ledger_is_told(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    foreign.write_bytes(b"no database at all, and long enough to be told from one" * 10)
    engine = engine_for(None, replace(NOW, database_url=f"sqlite:///{foreign}"))
    with pytest.raises(DatabaseUnusable):
        engine.submit(lines("a"), key="k")
    with pytest.raises(DatabaseUnusable):
        engine.work("k", ["a"])
    for url in ("sqlite://", "nonsense", "oracle://x"):
        with pytest.raises(ConfigurationError):
            engine_for(None, replace(NOW, database_url=url))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"temperature": float("nan")}, "not valid JSON"),
        ({"system": "\ud800"}, "cannot be written as JSON"),
        ({"tools": [{1, 2}]}, "set is no JSON"),
    ],
)
def test_what_is_no_json_is_no_request(broken: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        Names().line(params("a", **broken))


def test_ids_follow_from_what_is_asked_and_from_nothing_else() -> None:
    names = Names()
    first, again = names.line(params("a")), names.line(params("a"))
    assert first.custom_id.removesuffix("-1") == again.custom_id.removesuffix("-2")
    turned = dict(reversed(params("a").items()))
    mark = {"type": "ephemeral", "ttl": "1h"}
    marked = params("a") | {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": mark}]}]
    }
    for same in (turned, marked):
        assert Names().line(same).custom_id == first.custom_id
    other_kind = params("a") | {"metadata": {"cache_control": "ephemeral"}}
    assert len({Names().line(one).custom_id for one in (params("b"), params("a", system="x"), other_kind)}) == 3
    inputs = ({}, {"cache_control": mark}, {"content": "x"}, {"content": [{"type": "text", "text": "x"}]})
    calls = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": one}]}
        for one in inputs
    ]
    assert len({Names().line(params("a", messages=[call])).custom_id for call in calls}) == 4


def test_what_the_sdk_takes_besides_plain_data_is_taken() -> None:
    class Schema(BaseModel):
        kind: str = "object"
        left_out: int = 0

    plain = params("a", tools=[{"kind": "object"}], metadata={"user_id": "x"})
    rich = params("a", tools=(Schema(kind="object"),), metadata=MappingProxyType({"user_id": "x"}))
    assert Names().line(rich) == Names().line(plain)


def test_the_account_is_the_models_and_what_it_lacks_the_environments(
    monkeypatch: pytest.MonkeyPatch, simulator: RunningSimulator
) -> None:
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-of-the-environment")
    told = account_settings(ChatAnthropic(model="m", api_key=" sk-model ", base_url="http://there", timeout=1))
    assert (told.api_key, told.auth_token, told.base_url) == ("sk-model", None, "http://there")
    nothing = account_settings(object())
    assert (nothing.api_key, nothing.base_url) == (KEY, simulator.base_url)


def test_the_headers_and_the_proxy_of_the_model_are_the_accounts_too() -> None:
    model = ChatAnthropic(model="m", api_key="sk", default_headers={"x-b": "2", "X-A": "1", "anthropic-beta": "b-1"})
    told = account_settings(model)
    assert told.headers == (("X-A", "1"), ("anthropic-beta", "b-1"), ("x-b", "2"))
    assert (engine_for(told, NOW).betas, told.proxy) == (["b-1"], None)
    assert engine_for(told, NOW) is engine_for(account_settings(model), NOW)
    assert account_settings(SimpleNamespace(anthropic_proxy="http://proxy:1")).proxy == "http://proxy:1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("default_headers", {"X-Api-Key": "s3cret"}),
        ("default_headers", {"authorization": "Bearer s3cret"}),
        ("default_headers", {"anthropic-version": "s3cret"}),
        ("default_headers", {"x-a": "s3cret\n"}),
        ("default_headers", {"x-a": b"s3cret"}),
        ("anthropic_proxy", "ftp://s3cret"),
    ],
)
def test_what_batches_cannot_have_of_a_model_is_told_at_once(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        account_settings(SimpleNamespace(**{field: value}))
    assert "s3cret" not in str(caught.value)


def test_each_request_finds_an_api_version_that_is_known() -> None:
    """A factory gives its models one, for the sampling parameters that they have."""
    model = SimpleNamespace(default_headers={"Anthropic-Version": "2023-06-01", "x-a": "1"})
    assert account_settings(model).headers == (("x-a", "1"),)


def test_who_was_told_of_the_end_is_told_nothing_more() -> None:
    wait = Wait("k", ["a"])
    wait.future.set_result(None)
    wait.fail(RuntimeError("later"))
    assert wait.future.exception() is None


def test_what_has_ended_is_complete_however_short_the_wait(engine: Engine) -> None:
    some = lines("a")
    engine.submit(some, key="k")
    engine.work("k", ids(some), timeout=30)
    engine.work("k", ids(some), timeout=0)


def test_who_could_not_begin_to_work_keeps_nobody_waiting(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    some = lines("a")
    engine.submit(some, key="k")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="no thread"):
            engine.work("k", ids(some), timeout=30)
    engine.work("k", ids(some), timeout=30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_of_a_process_that_waits_can_use_it_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with slow_provider() as slow:
        hurry(monkeypatch, slow)
        first, second, engine = lines("a"), lines("b"), engine_for(None, NOW)
        engine.submit(first, key="k")
        waiting = engine.expect("k", ids(first))
        until(lambda: len(slow.log()["batches"]) == 1)
        if not (child := os.fork()):
            try:
                engine_for(None, NOW).submit(second, key="k")
                engine_for(None, NOW).work("k", ids(first + second), timeout=30)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        until(lambda: len(slow.log()["batches"]) == 2)
        slow.advance(61)
        assert os.waitpid(child, 0)[1] == 0
        waiting.result(30)
        assert slow.bill()["requests"] == 2

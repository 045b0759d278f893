"""Points around the calls of a provider: which are reached, in which order, and that nothing else is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, cast

import pytest

from ledger import crash_points
from ledger.crash_points import VARIABLE, watch, within
from scheduler import providers
from scheduler.crash_points import with_crash_points
from scheduler.providers.anthropic import AnthropicBatches
from scheduler.providers.base import BatchItem, BatchProvider

ENVIRON = {"ANTHROPIC_API_KEY": "sk-of-the-test", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}


class Provider:
    """Answers with what it was asked for. `told` is what it and the points say, in order."""

    name = "provider"

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def account(self) -> str:
        return "account"

    def retrieve(self, batch_id: str) -> str:
        self._told.append(f"retrieve {batch_id}")
        return batch_id

    def cancel(self, batch_id: str) -> str:
        raise ConnectionError(batch_id)

    def create(self, items: Callable[[], Iterable[BatchItem]], *, size: int) -> int:
        self._told.append("connected")
        for item in items():
            self._told.append(f"sent {item.custom_id}")
        return size

    def results(self, batch_id: str) -> Iterator[str]:
        self._told.append(f"opened {batch_id}")
        try:
            yield from ("first", "second", "third")
        finally:
            self._told.append("closed")


@pytest.fixture
def told() -> Iterator[list[str]]:
    told: list[str] = []
    watch(told.append)
    yield told
    crash_points._watchers.clear()


@pytest.fixture
def provider(told: list[str]) -> Any:
    return with_crash_points(cast(BatchProvider, Provider(told)))


def test_a_call_has_a_point_before_and_one_after(provider: Any, told: list[str]) -> None:
    with within("poll"):
        assert provider.retrieve("b1") == "b1"
    assert told == ["poll.retrieve.before", "retrieve b1", "poll.retrieve.after"]


def test_one_that_fails_has_both_as_well(provider: Any, told: list[str]) -> None:
    with pytest.raises(ConnectionError, match="b1"):
        provider.cancel("b1")
    assert told == ["ledger.cancel.before", "ledger.cancel.after"]


def test_what_uses_no_network_has_none(provider: Any, told: list[str]) -> None:
    assert (provider.name, provider.account()) == ("provider", "account")
    assert told == []


def test_a_creation_has_one_in_the_middle_of_its_items(provider: Any, told: list[str]) -> None:
    assert provider.create(lambda: [BatchItem("i0", b"{}"), BatchItem("i1", b"{}")], size=8) == 8
    before, after = "ledger.create.before", "ledger.create.after"
    assert told == [before, "connected", "sent i0", "ledger.create.during", "sent i1", after]


def test_reading_has_one_after_the_first_line_and_one_after_the_last(provider: Any, told: list[str]) -> None:
    for line in provider.results("b1"):
        told.append(line)
    during, after = "ledger.results.during", "ledger.results.after"
    assert told == ["ledger.results.before", "opened b1", "first", during, "second", "third", "closed", after]


def test_reading_that_is_given_up_is_over(provider: Any, told: list[str]) -> None:
    assert list(islice(provider.results("b1"), 1)) == ["first"]
    assert told == ["ledger.results.before", "opened b1", "closed", "ledger.results.after"]


def test_a_provider_is_wrapped_only_where_the_variable_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = providers.settings("anthropic", ENVIRON, timeout_seconds=1.0)
    assert isinstance(providers.provider("anthropic", settings), AnthropicBatches)
    monkeypatch.setenv(VARIABLE, "poll.retrieve.before")
    wrapped = providers.provider("anthropic", settings)
    crash_points._watchers.clear()
    assert not isinstance(wrapped, AnthropicBatches)
    assert wrapped.name == "anthropic"

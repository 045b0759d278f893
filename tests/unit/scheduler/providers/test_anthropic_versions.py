"""Sampling parameters, settled before they can be refused."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.providers.anthropic import settle_sampling

OLDER, NEWER = "2023-06-01", "2026-10-21"
HELLO = [{"role": "user", "content": "Hello"}]


def params(model: str = "claude-sonnet-4-5", **fields: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 8, "messages": HELLO} | fields


@pytest.mark.parametrize("given", [{"temperature": 0}, {"top_p": 0.5, "top_k": 5}, {"temperature": 1}])
def test_sampling_travels_under_the_version_that_takes_it(given: dict[str, Any]) -> None:
    asked = params(**given)
    settled = settle_sampling(asked)
    assert (settled.api_version, settled.dropped) == (OLDER, ())
    assert settled.params == asked


def test_nothing_asked_for_nothing_changed() -> None:
    asked = params()
    assert settle_sampling(asked).params == asked
    assert settle_sampling(asked).api_version == NEWER


@pytest.mark.parametrize(
    "model", ["claude-opus-5", "claude-sonnet-5-5-20261007", "claude-opus-4-7", "claude-haiku-5-5"]
)
def test_what_the_model_takes_under_no_version_is_left_out_and_named(model: str) -> None:
    asked = params(model, temperature=0, top_k=3)
    settled = settle_sampling(asked)
    assert (settled.api_version, settled.dropped) == (NEWER, ("temperature", "top_k"))
    assert settled.params == params(model)
    assert asked == params(model, temperature=0, top_k=3)


def test_what_the_model_does_anyway_is_left_out_without_a_word() -> None:
    settled = settle_sampling(params("claude-opus-5", temperature=1.0, top_p=1))
    assert (settled.api_version, settled.params, settled.dropped) == (NEWER, params("claude-opus-5"), ())


def test_null_counts_as_left_out() -> None:
    settled = settle_sampling(params(temperature=None, top_p=None))
    assert (settled.api_version, settled.params, settled.dropped) == (NEWER, params(), ())


def test_left_out_sampling_does_not_hide_what_else_needs_the_older_version() -> None:
    cited = [{"role": "assistant", "content": [{"type": "document", "source": {}}]}]
    assert settle_sampling(params("claude-opus-5", temperature=0, messages=cited)).api_version == OLDER


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"model": None, "temperature": 0},
        {"messages": None},
        {"messages": "Hello"},
        {"messages": [None, "x", {"role": "user"}, {"content": 3}, {"role": "assistant", "content": [None, {}]}]},
        {"messages": {"role": "user"}},
    ],
)
def test_params_of_any_shape_are_left_for_the_provider_to_judge(odd: dict[str, Any]) -> None:
    settled = settle_sampling(odd)
    assert settled.params == odd
    assert settled.dropped == ()

"""Sampling parameters under the API version of the installed SDK, whichever that is."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from llm_optimization.wrapping import sampling
from llm_optimization.wrapping.sampling import api_version, settled

TAKES = "claude-sonnet-4-6"
TAKES_NONE = "claude-opus-5"
OLDER, NEWER = "2023-06-01", "2026-10-21"


@pytest.fixture(params=[OLDER, NEWER])
def speaks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version that the SDK asks for."""
    version: str = request.param
    monkeypatch.setattr(sampling, "sdk_api_version", lambda: version)
    return version


def payload(**more: Any) -> dict[str, Any]:
    return {"model": TAKES, "max_tokens": 9, "messages": [{"role": "user", "content": "One?"}], **more}


def test_without_sampling_nothing_changes(speaks: str) -> None:
    asked = payload(extra_body={"thinking": {}})
    assert settled(asked) is asked
    assert api_version(asked) == speaks


@pytest.mark.parametrize("where", [{"temperature": 0.5}, {"extra_body": {"temperature": 0.5}}])
def test_sampling_travels_under_the_older_version(speaks: str, where: dict[str, Any]) -> None:
    asked = payload(**where, extra_headers={"x-trace": "1"})
    made = settled(asked)
    assert {**made, "extra_headers": None} == {**asked, "extra_headers": None}
    assert api_version(made) == OLDER
    assert made["extra_headers"]["x-trace"] == "1"
    assert asked["extra_headers"] == {"x-trace": "1"}  # the caller's own is as it was


def test_sampling_that_the_model_does_not_take_is_left_out(speaks: str, caplog: pytest.LogCaptureFixture) -> None:
    sampling.say_dropped.cache_clear()
    asked = payload(model=TAKES_NONE, top_p=0.1, extra_body={"temperature": 0.5, "top_k": 3, "mine": 1})
    with caplog.at_level(logging.WARNING):
        first, second = settled(asked), settled(asked)
    assert first == second == payload(model=TAKES_NONE, extra_body={"mine": 1})
    assert len(caplog.records) == 1
    assert "temperature" in caplog.text
    assert api_version(first) == speaks


@pytest.mark.parametrize("header", ["anthropic-version", "Anthropic-Version"])
def test_whoever_names_a_version_is_taken_at_their_word(speaks: str, header: str) -> None:
    named = payload(temperature=0.5, extra_headers={header: NEWER})
    assert settled(named) is named
    assert api_version(named) == NEWER
    ours = payload(temperature=0.5)
    assert settled(ours, {header: NEWER}) is ours
    assert api_version(ours, {header: NEWER}) == NEWER


@pytest.mark.parametrize(
    ("installed", "version"), [("0.125.0", OLDER), ("1.9.3", OLDER), ("2.12.0", NEWER), ("10.0", NEWER), ("x", OLDER)]
)
def test_the_version_follows_from_the_sdk(monkeypatch: pytest.MonkeyPatch, installed: str, version: str) -> None:
    monkeypatch.setattr(sampling, "version", lambda name: installed)
    assert sampling.sdk_api_version.__wrapped__() == version

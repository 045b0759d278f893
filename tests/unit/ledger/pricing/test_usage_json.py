"""`normalise_json` is a shortcut, and nothing but a shortcut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import UsageUnreadable
from ledger.pricing import normalise, normalise_json

COUNTS = st.one_of(
    st.none(), st.integers(0, 400_000), st.sampled_from([-1, True, 1.5, "3", 2**53, 2**53 + 1, 10**30])
)
FIELDS = {
    "input_tokens": COUNTS,
    "output_tokens": COUNTS,
    "cache_creation_input_tokens": COUNTS,
    "cache_read_input_tokens": COUNTS,
    "cache_creation": st.one_of(
        st.none(),
        st.just(3),
        st.fixed_dictionaries(
            {}, optional={"ephemeral_5m_input_tokens": COUNTS, "ephemeral_1h_input_tokens": COUNTS}
        ),
    ),
    "server_tool_use": st.one_of(st.none(), st.just([]), st.fixed_dictionaries({"web_search_requests": COUNTS})),
    "inference_geo": st.sampled_from(["us", "global", None, 7]),
    "service_tier": st.sampled_from(["priority", "batch", None, {}]),
    "speed": st.sampled_from(["fast", "standard", None]),
    "iterations": st.sampled_from(
        [None, [], "x", [{"type": "message", "input_tokens": 3}], [{"type": "compaction", "output_tokens": 4}]]
    ),
    "usage_metadata": st.sampled_from([None, {}, "", [], {"input_tokens": 3, "output_tokens": 4}]),
}
CALL: dict[str, Any] = {"provider": "anthropic", "model": "claude-haiku-5-5", "processing": "batch"}


def answer(function: Any, usage: Any) -> Any:
    try:
        return function(**CALL, usage=usage)
    except UsageUnreadable as error:
        return str(error)


@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_raw_and_parsed_usage_give_the_same(usage: dict[str, Any]) -> None:
    assert answer(normalise_json, json.dumps(usage).encode()) == answer(normalise, usage)


@pytest.mark.parametrize("usage", [b"", b"{", b"\xff", b"[" * 100_000, b'{"input_tokens": 1'])
def test_what_is_no_json_is_unreadable(usage: bytes) -> None:
    with pytest.raises(UsageUnreadable, match="not JSON"):
        normalise_json(**CALL, usage=usage)


@pytest.mark.parametrize("usage", [b"null", b"[]", b"3", b'"x"'])
def test_what_is_no_object_is_unreadable(usage: bytes) -> None:
    with pytest.raises(UsageUnreadable, match="expected an object"):
        normalise_json(**CALL, usage=usage)

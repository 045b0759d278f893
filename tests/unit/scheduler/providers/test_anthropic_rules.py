"""Which params pass, which do not and where, and what is recorded about those that do."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.errors import InvalidRequest
from scheduler.providers.anthropic import AnthropicRules, shapes
from scheduler.providers.anthropic.limits import LIMITS
from scheduler.providers.base import RequestRules

RULES = AnthropicRules()
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def params(**fields: Any) -> dict[str, Any]:
    base = {"model": "claude-opus-4-6", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
    return {name: value for name, value in (base | fields).items() if value is not ...}


def text(value: Any = "x", **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value} | fields


def user(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


def tool(**fields: Any) -> dict[str, Any]:
    return {"name": "t", "input_schema": {"type": "object"}} | fields


TOOL_RESULT = {"type": "tool_result", "tool_use_id": "t1"}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "s"}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}
CITATION = {
    "type": "char_location",
    "cited_text": "c",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 1,
}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}

GOOD = {
    "a string system": params(system="be brief"),
    "blocks": params(system=[text(cache_control=HOUR)], **user(text(), IMAGE, DOCUMENT)),
    "a model nobody knows": params(model="claude-next-9"),
    "the longest name and the most tokens": params(model="m" * 256, max_tokens=2**31 - 1),
    "an assistant prefill": params(
        messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    ),
    "an assistant first": params(**user(text(), role="assistant")),
    "a system message": params(messages=[{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]),
    "a tool without a type": params(tools=[tool()]),
    "a null type of a tool": params(tools=[tool(type=None)]),
    "a server tool": params(tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]),
    "any tool schema": params(tools=[tool(input_schema={"type": "object", "cache_control": 1, "x-y": [None]})]),
    "a tool use as the API returned it": params(
        **user({"type": "tool_use", "id": "t1", "name": "t", "input": {"a": 1}, "caller": None}, role="assistant")
    ),
    "a tool result of blocks": params(**user(TOOL_RESULT | {"content": [text(), IMAGE]})),
    "thinking": params(thinking={"type": "enabled", "budget_tokens": 1024}, **user(THINKING, role="assistant")),
    "stream false": params(stream=False),
    "null where the types have it": params(metadata={"user_id": None}, cache_control=None),
    "empty text without a marker": params(**user(text(""))),
    "a beta field": params(betas=["mcp-client-2025-11-20"], mcp_servers=[{"type": "url", "name": "a", "url": "u"}]),
    "a beta field without betas": params(mcp_servers=[{"type": "url", "name": "a", "url": "u"}]),
    "a field of an unknown beta": params(betas=["time-travel-2031-01-01"], when="1985"),
    "four breakpoints": params(tools=[tool(cache_control=MARK)] * 2, system=[text(cache_control=MARK)] * 2),
    "1h before 5m": params(tools=[tool(cache_control=HOUR)], system=[text(cache_control=MARK)]),
    "5m automatic after 1h": params(system=[text(cache_control=HOUR)], cache_control=MARK),
}


@pytest.mark.parametrize("given", GOOD.values(), ids=GOOD.keys())
def test_good_params_pass_and_stay_untouched(given: dict[str, Any]) -> None:
    before = copy.deepcopy(given)
    facts = RULES.check(given)
    assert (facts.model, facts.max_tokens) == (given["model"], given["max_tokens"])
    assert given == before


BAD: list[tuple[dict[str, Any], str, str]] = [
    # the top level
    (params(model=...), "model", "is required"),
    (params(model=""), "model", "must not be empty"),
    (params(model=None), "model", "must be a string, not null"),
    (params(model="m" * 257), "model", "must have at most 256 characters"),
    (params(model="a\x1b[31m"), "model", "holds a character"),
    (params(model="a\n"), "model", "holds a character"),
    (params(model="a\x9b"), "model", "holds a character"),
    (params(max_tokens=...), "max_tokens", "is required"),
    (params(max_tokens=0), "max_tokens", "must be at least 1"),
    (params(max_tokens=2**31), "max_tokens", "must be at most 2147483647"),
    (params(max_tokens=2**63), "max_tokens", "must be at most 2147483647"),
    (params(max_tokens=2**70), "max_tokens", "must be at most 2147483647"),
    (params(max_tokens=1.5), "max_tokens", "must be an integer, not a fraction"),
    (params(max_tokens=True), "max_tokens", "must be an integer, not true or false"),
    (params(max_tokens="8"), "max_tokens", "must be an integer, not a string"),
    (params(messages=[]), "messages", "must not be empty"),
    (params(messages="hi"), "messages", "must be a list, not a string"),
    (params(messages=[{"role": "user", "content": "a"}] * 100_001), "messages", "at most 100000 items"),
    (params(system=5), "system", "must be a string or a list, not a number"),
    (params(tool_choice="auto"), "tool_choice", "must be an object, not a string"),
    (params(thinking={"type": "enabled"}), "thinking.budget_tokens", "is required"),
    (params(stop_sequences="x"), "stop_sequences", "must be a list"),
    (params(betas="b"), "betas", "must be a list"),
    (params(betas=["a,b"]), "betas.0", "'a,b' holds a character that such a name cannot hold"),
    (params(betas=["a\r\nx: y"]), "betas.0", "holds a character"),
    (params(betas=[["x"]]), "betas.0", "must be a string, not a list"),
    (params(betas=[{}]), "betas.0", "must be a string, not an object"),
    # not in batches
    (params(stream=True), "stream", "cannot be streamed"),
    (params(speed="fast"), "speed", "not available in batches"),
    (params(workspace_id="w"), "workspace_id", "is a header"),
    # messages and their blocks
    (params(messages=[5]), "messages.0", "must be an object, not a number"),
    (params(messages=[{"content": "x"}]), "messages.0.role", "is required"),
    (params(messages=[{"role": "user"}]), "messages.0.content", "is required"),
    (
        params(messages=[{"role": "user", "content": 5}]),
        "messages.0.content",
        "must be a string or a list, not a number",
    ),
    (params(**user("x")), "messages.0.content.0", "must be an object, not a string"),
    (params(**user(text(), {"type": ["text"]})), "messages.0.content.1.type", "['text']"),
    (params(**user({"text": "a"})), "messages.0.content.0.type", "is required"),
    (params(**user({"type": "text"})), "messages.0.content.0.text", "is required"),
    (params(**user(text(), text(5))), "messages.0.content.1.text", "must be a string, not a number"),
    (params(**user(text(citations=5))), "messages.0.content.0.citations", "must be a list"),
    (
        params(**user(IMAGE | {"source": {"type": "base64", "data": "x"}})),
        "messages.0.content.0.source.media_type",
        "required",
    ),
    (params(**user(TOOL_RESULT | {"content": [text(None)]})), "messages.0.content.0.content.0.text", "not null"),
    (params(tools=[{"name": "t"}]), "tools.0.input_schema", "is required"),
    # cache breakpoints
    (params(system=[text(cache_control={})]), "system.0.cache_control.type", "is required"),
    (params(system=[text("", cache_control=MARK)]), "system.0.cache_control", "an empty text cannot"),
    (
        params(**user(THINKING | {"cache_control": MARK}, role="assistant")),
        "messages.0.content.0.cache_control",
        "cannot",
    ),
    (
        params(betas=["time-travel"], **user(THINKING | {"cache_control": MARK}, role="assistant")),
        "messages.0.content.0.cache_control",
        "a thinking block cannot",
    ),
    (params(system=[text(cache_control=MARK)] * 5), "system.4.cache_control", "at most 4"),
    (params(system=[text(cache_control=MARK)] * 4, cache_control=MARK), "cache_control", "at most 4"),
    (
        params(system=[text(cache_control=MARK)] * 4, **user(TOOL_RESULT | {"content": [text(cache_control=MARK)]})),
        "messages.0.content.0.content.0.cache_control",
        "at most 4",
    ),
    (
        params(system=[text(cache_control=MARK), text(cache_control=HOUR)]),
        "system.1.cache_control",
        "system.0.cache_control",
    ),
    (params(system=[text(cache_control=MARK)], cache_control=HOUR), "cache_control", "must not come after"),
    (
        params(tools=[tool(cache_control=MARK)], **user(text(cache_control=HOUR))),
        "messages.0.content.0.cache_control",
        "must not come after",
    ),
    # sampling
    (params(temperature=1.5), "temperature", "must be at most 1"),
    (params(temperature=float("nan")), "temperature", "must be"),
    (params(temperature=None), "temperature", "must be a number, not null"),
    (params(top_p=-0.1), "top_p", "must be at least 0"),
    (params(top_k=1.5), "top_k", "must be an integer"),
    (params(model="claude-opus-4-7", temperature=0.5), "temperature", "takes no sampling"),
    (params(model="claude-sonnet-5-5-20261007", top_p=0.5), "top_p", "takes no sampling"),
    (params(model="claude-fable-5", top_k=1), "top_k", "takes no sampling"),
    # text that cannot be sent
    (params(system="\ud800"), "system", "surrogate"),
    (params(tools=[tool(input_schema={"type": "object", "x": "\udc00"})]), "tools.0", "surrogate"),
]


# Only types that know all the API takes can tell that these are wrong.
UNKNOWN: list[tuple[dict[str, Any], str, str]] = [
    (params(max_token=8), "max_token", "did you mean 'max_tokens'?"),
    (params(zzz=8), "zzz", "unknown field"),
    (params(service_tier="fast"), "service_tier", "must be 'auto' or 'standard_only', not 'fast'"),
    (params(tool_choice={"type": "some"}), "tool_choice.type", "'some'"),
    (params(metadata={"user": "x"}), "metadata.user", "unknown field"),
    (params(betas=["mcp-client-2025-11-20"], zzz=1), "zzz", "unknown field"),
    (params(messages=[{"role": "usr", "content": "x"}]), "messages.0.role", "did you mean 'user'?"),
    (params(**user(text(), {"type": "txt"})), "messages.0.content.1.type", "did you mean 'text'?"),
    (params(**user(text(), {"type": "hologram"})), "messages.0.content.1.type", "is not one of"),
    (params(**user(text(colour="red"))), "messages.0.content.0.colour", "unknown field"),
    (params(system=[text(type="image")]), "system.0.type", "'image'"),
    (params(tools=[tool(type="web_search_2025")]), "tools.0.type", "did you mean 'web_search_20250305'?"),
    (
        params(system=[text(cache_control={"type": "ephemeral", "ttl": "2h"})]),
        "system.0.cache_control.ttl",
        "'5m' or '1h'",
    ),
    (
        params(system=[text(citations=[CITATION | {"cache_control": MARK}])]),
        "system.0.citations.0.cache_control",
        "cannot stand here",
    ),
]


def refused(cases: list[tuple[dict[str, Any], str, str]]) -> Any:
    ids = [f"{path}-{reason[:24]}" for _, path, reason in cases]
    return pytest.mark.parametrize(("given", "path", "reason"), cases, ids=ids)


@pytest.fixture
def older_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "sdk_knows_all", lambda: False)


@refused([*BAD, *UNKNOWN] if shapes.sdk_knows_all() else BAD)
def test_bad_params_are_refused_at_the_innermost_place(given: dict[str, Any], path: str, reason: str) -> None:
    check_refused(given, path, reason)


@refused(BAD)
@pytest.mark.usefixtures("older_sdk")
def test_an_older_sdk_refuses_what_it_knows_to_be_wrong(given: dict[str, Any], path: str, reason: str) -> None:
    check_refused(given, path, reason)


@pytest.mark.parametrize("given", [*GOOD.values(), *(given for given, _, _ in UNKNOWN)])
@pytest.mark.usefixtures("older_sdk")
def test_an_older_sdk_lets_pass_what_it_does_not_know(given: dict[str, Any]) -> None:
    assert RULES.check(given).model == given["model"]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=2),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["content", "source", "cache_control", "data", "text"]), inner)
            | inner.map(lambda value: {"type": "text", "cache_control": value})
            | inner.map(lambda value: {"type": "base64", "data": value})
        ),
        max_leaves=6,
    )
)
@example({"cache_control": 5})
@example([{"type": ["text"], "cache_control": {"ttl": 5}}, {"type": "text"}])
def test_a_block_that_nobody_knows_may_hold_anything(within: Any) -> None:
    block = {"type": "hologram", "content": within, "source": within, "cache_control": within}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "sdk_knows_all", lambda: False)
        try:
            RULES.check(params(**user(block)))
        except InvalidRequest as refusal:
            assert refusal.path.startswith("messages.0.content.0")  # noqa: PT017


def check_refused(given: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        RULES.check(given)
    assert caught.value.path == path
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_params_that_are_no_object_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="must be an object"):
        RULES.check([])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "version"),
    [
        (params(), "2026-10-21"),
        (params(temperature=0), "2023-06-01"),
        (params(top_p=0.5), "2023-06-01"),
        (params(top_k=5), "2023-06-01"),
        (params(model="claude-opus-5", temperature=1, top_p=1.0), "2023-06-01"),
        (params(model="claude-opus-4-70", temperature=0.5), "2023-06-01"),
        (params(**user(DOCUMENT)), "2026-10-21"),
        (params(**user(DOCUMENT, role="assistant")), "2023-06-01"),
        (params(model="claude-opus-5", **user(DOCUMENT, role="assistant")), "2023-06-01"),
        (params(**user(text(citations=None))), "2026-10-21"),
        (params(**user(text(citations=[CITATION]))), "2023-06-01"),
    ],
)
def test_the_older_version_only_where_it_is_needed(given: dict[str, Any], version: str) -> None:
    assert RULES.check(given).api_version == version


def test_betas_are_lifted_sorted_and_unique() -> None:
    given = params(betas=["b-2", "a-1", "b-2"])
    assert RULES.check(given).betas == ("a-1", "b-2")
    assert RULES.check(params(betas=[])).betas == ()


def test_markers_count_the_automatic_one_and_those_inside_of_blocks() -> None:
    given = params(
        system=[text(cache_control=HOUR)],
        cache_control=MARK,
        **user(TOOL_RESULT | {"content": [text(cache_control=MARK)]}),
    )
    facts = RULES.check(given)
    assert facts.markers == 3
    assert [marked for _, _, marked in facts.prefix] == [True, True]


def test_the_rules_fit_the_protocol_and_the_limits_leave_room_for_the_framing() -> None:
    assert isinstance(RULES, RequestRules)
    assert LIMITS.max_items == 100_000
    assert LIMITS.results_kept_seconds == 29 * 86_400
    assert 250_000_000 < LIMITS.max_bytes < 256_000_000


def test_choosing_a_provider_does_not_import_its_sdk() -> None:
    code = (
        "import sys; from scheduler import providers; providers.rules('anthropic');"
        "settings = providers.settings('anthropic', {}, timeout_seconds=1);"
        "providers.provider('anthropic', settings);"
        "sys.exit('anthropic' in sys.modules or 'pydantic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

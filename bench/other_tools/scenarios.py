"""What goes wrong, each time once and then never again."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["CALM", "REQUESTS", "SCENARIOS", "Scenario", "requests_of"]

REQUESTS: Final = 20
_MODEL: Final = "claude-haiku-4-5"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of the provider's, as the simulator takes it, and what happens around it.

    `killed`: the process is killed while it waits for the answer to its POST. `stranger`: somebody else with the
    same key makes a batch of the same size and the same custom ids just then. `cached`: the requests share a long
    system prompt that is marked for the cache, and the tool's figure of the cost is compared.
    """

    letter: str
    words: str
    fault: dict[str, Any] | None = None
    killed: bool = False
    stranger: bool = False
    cached: bool = False


def _create(**fault: Any) -> dict[str, Any]:
    return {"endpoint": "batches.create", **fault}


def _results(**fault: Any) -> dict[str, Any]:
    return {"endpoint": "batches.results", **fault}


CALM: Final = Scenario(letter="0", words="nothing goes wrong")
SCENARIOS: Final = (
    CALM,
    Scenario(letter="a", words="answer to the POST lost", fault=_create(kind="drop_after")),
    Scenario(
        letter="b",
        words="POST answered 500 after it took effect",
        fault=_create(kind="status", status=500, commit=True),
    ),
    Scenario(letter="c", words="killed after the POST", fault=_create(kind="hang", commit=True), killed=True),
    Scenario(
        letter="d",
        words="killed after the POST, a stranger's batch beside it",
        fault=_create(kind="hang", commit=True),
        killed=True,
        stranger=True,
    ),
    Scenario(
        letter="e",
        words="killed before the POST took effect, a stranger's batch there",
        fault=_create(kind="hang"),
        killed=True,
        stranger=True,
    ),
    Scenario(letter="f", words="results end after line 12", fault=_results(kind="missing", line=12, lines=8)),
    Scenario(letter="g", words="results break off within a line", fault=_results(kind="truncate", after_bytes=3_000)),
    Scenario(letter="h", words="cost with the prompt cache", cached=True),
)


def requests_of(whose: str, *, cached: bool = False) -> list[dict[str, Any]]:
    """Requests with the ids `row-0`, `row-1`, …; their texts, and so their answers, depend on whose they are."""
    return [
        {"custom_id": f"row-{index}", "params": _params(f"{whose}: what is {index} plus {index}?", cached=cached)}
        for index in range(REQUESTS)
    ]


def _params(question: str, *, cached: bool) -> dict[str, Any]:
    params = {"model": _MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": question}]}
    if cached:
        handbook = "".join(f"Rule {number}: whoever adds, adds carefully.\n" for number in range(1_000))
        params["system"] = [{"type": "text", "text": handbook, "cache_control": {"type": "ephemeral"}}]
    return params

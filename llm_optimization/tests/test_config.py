"""A host's entry, as people typed it, becomes settings; or all that is wrong with it is named at once."""

from __future__ import annotations

import dataclasses
import doctest
import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llm_optimization import config as module
from llm_optimization import spellings
from llm_optimization.config import OptimizationConfig
from llm_optimization.exceptions import InvalidOptimizationConfig

ENTRY: dict[str, Any] = {
    "provider": "anthropic",
    "configuration": {
        "model": "claude-sonnet-4-6, claude-haiku-4-5",
        "apiKey": "sk-of-the-host",
        "endpoint": "https://host.example",
        "optimizationEnabled": True,
        "batchingEnabled": True,
        "batchMaxSize": 500,
        "batchTimeout": 5,
        "cachingEnabled": True,
        "cacheTTL": 3600,
        "cacheBreakpoints": "manual",
        "fallbackToStandard": False,
        "recording": "sync",
        "databaseUrl": "sqlite:///calls.db",
        "ledgerKey": "search",
        "tags": {"team": "search"},
        "maxTokens": 1000,
    },
    "modelKey": "m1",
    "isMultimodal": False,
    "isDefault": True,
    "isReasoning": False,
}
MEANT = OptimizationConfig(
    optimization_enabled=True,
    batching_enabled=True,
    batch_max_size=500,
    batch_timeout=5,
    caching_enabled=True,
    cache_ttl=3600,
    cache_breakpoints="manual",
    fallback_to_standard=False,
    recording="sync",
    database_url="sqlite:///calls.db",
    key="search",
    tags={"team": "search"},
    model="claude-sonnet-4-6",
    max_tokens=1000,
)
SNAKE = {
    "ledger_key" if field.name == "key" else field.name: getattr(MEANT, field.name)
    for field in dataclasses.fields(MEANT)
}


def problems(entry: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidOptimizationConfig) as caught:
        OptimizationConfig.from_dict(entry)
    return caught.value.problems


@pytest.mark.parametrize("entry", [ENTRY, ENTRY["configuration"], SNAKE, {"configuration": SNAKE}, MEANT])
def test_config_from_dict(entry: Mapping[str, Any] | OptimizationConfig) -> None:
    assert OptimizationConfig.from_dict(entry) == MEANT


def test_config_defaults() -> None:
    defaults = OptimizationConfig()
    assert dataclasses.asdict(defaults) == {
        "optimization_enabled": False,
        "batching_enabled": False,
        "batch_max_size": 10_000,
        "batch_timeout": 30,
        "caching_enabled": False,
        "cache_ttl": 300,
        "cache_breakpoints": "auto",
        "fallback_to_standard": True,
        "recording": "behind",
        "database_url": None,
        "key": "calls",
        "tags": {},
        "model": None,
        "max_tokens": 4_096,
    }
    defaults.validate()


@pytest.mark.parametrize("entry", [None, {}, {"configuration": None}, {"configuration": {}}, {"provider": "xai"}])
def test_what_an_entry_does_not_say_is_the_default(entry: dict[str, Any] | None) -> None:
    assert OptimizationConfig.from_dict(entry) == OptimizationConfig()


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_null_and_empty_text_mean_the_default(empty: str | None) -> None:
    assert OptimizationConfig.from_dict(dict.fromkeys(ENTRY["configuration"], empty)) == OptimizationConfig()


def test_the_master_switch_goes_with_each_feature() -> None:
    features = {"caching_enabled": True, "batching_enabled": True, "recording": "sync"}
    off = OptimizationConfig(optimization_enabled=False, **features)  # type: ignore[arg-type]
    on = dataclasses.replace(off, optimization_enabled=True)
    assert (off.caches, off.batches, off.records) == (False, False, False)
    assert (on.caches, on.batches, on.records) == (True, True, True)
    bare = OptimizationConfig(optimization_enabled=True, recording="off")
    assert (bare.caches, bare.batches, bare.records) == (False, False, False)


@pytest.mark.parametrize(
    ("said", "field", "meant"),
    [
        *[("cacheTTL", "cache_ttl", (value, 300)) for value in (300, 300.0, "300", " 300 ", "300s", "5m", "5 M")],
        *[("cacheTTL", "cache_ttl", (value, 3_600)) for value in (3_600, "3600", "3600s", "60m", "1h", "1 H")],
        *[("batchTimeout", "batch_timeout", (value, 120)) for value in (120, "120", "2m", 120.0)],
        *[("batchMaxSize", "batch_max_size", (value, 2_000)) for value in (2_000, "2000", 2e3, "+2000")],
        *[("maxTokens", "max_tokens", (value, 64)) for value in (64, "64")],
        *[("batchMaxSize", "batch_max_size", (value, value)) for value in (1, 100_000)],
        *[("batchTimeout", "batch_timeout", (value, value)) for value in (0, 86_400)],
        ("maxTokens", "max_tokens", (1, 1)),
        *[("optimizationEnabled", "optimization_enabled", (value, True)) for value in (True, "true", " TRUE ")],
        *[("fallbackToStandard", "fallback_to_standard", (value, False)) for value in (False, "false", "False")],
        *[("cacheBreakpoints", "cache_breakpoints", (value, "none")) for value in ("none", " None")],
        *[("recording", "recording", (value, "off")) for value in ("off", "OFF", False, "false")],
        *[("recording", "recording", (value, "behind")) for value in ("behind", True, "true")],
        *[("model", "model", (value, "a")) for value in ("a", " a ,b", ",a,,b")],
        ("model", "model", (" , ", None)),
        ("databaseUrl", "database_url", (" sqlite:///a.db ", "sqlite:///a.db")),
        ("databaseUrl", "database_url", ("postgresql://me:pw@host/db",) * 2),
        ("ledgerKey", "key", (" nightly ", "nightly")),
    ],
)
def test_a_value_may_be_spelled_as_people_spell_it(said: str, field: str, meant: tuple[Any, Any]) -> None:
    assert getattr(OptimizationConfig.from_dict({said: meant[0]}), field) == meant[1]


@pytest.mark.parametrize("name", ["cacheTTL", "cacheTtl", "cache_ttl", "CACHE_TTL"])
def test_a_name_may_be_spelled_as_people_spell_it(name: str) -> None:
    assert OptimizationConfig.from_dict({name: "1h"}).cache_ttl == 3_600


def test_of_a_setting_in_both_places_the_nested_one_counts() -> None:
    both = {"cacheTTL": 300, "batchTimeout": 7, "configuration": {"cache_ttl": 3_600, "batchTimeout": None}}
    found = OptimizationConfig.from_dict(both)
    assert (found.cache_ttl, found.batch_timeout) == (3_600, 7)


def test_what_else_a_host_keeps_is_left_where_it_is() -> None:
    entry = {**ENTRY, "key": "sk-secret", "password": "sk-secret", 7: "sk-secret"}
    found = OptimizationConfig.from_dict(entry)
    assert found == MEANT
    assert "sk-" not in f"{found!r} {dataclasses.asdict(found)}"


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("cacheTll", "cacheTTL"), ("optimisation_enabled", "optimizationEnabled"), ("batchSize", "batchMaxSize")],
)
def test_a_misspelt_name_is_told_once(misspelt: str, meant: str, caplog: pytest.LogCaptureFixture) -> None:
    spellings._doubt.cache_clear()
    for _ in range(2):
        OptimizationConfig.from_dict({"configuration": {misspelt: "sk-secret"}})
    assert [record.getMessage() for record in caplog.records] == [
        f"optimization settings: '{misspelt}' is ignored; is {meant} meant?"
    ]


@pytest.mark.parametrize(
    "hosts", ["modelKey", "models", "apiKey", "maxRetries", "deploymentName", "region", "isDefault"]
)
def test_a_name_of_the_hosts_own_is_no_misspelt_one(hosts: str, caplog: pytest.LogCaptureFixture) -> None:
    OptimizationConfig.from_dict({hosts: "x", "configuration": {hosts: "x"}})
    assert caplog.records == []


def test_an_entry_is_not_changed_and_not_held_on_to() -> None:
    entry = json.loads(json.dumps(ENTRY))
    found = OptimizationConfig.from_dict(entry)
    assert entry == ENTRY
    entry["configuration"]["tags"]["team"] = "other"
    assert found.tags == {"team": "search"}


WRONG: dict[str, list[Any]] = {
    "optimizationEnabled": [1, 0, "yes", [], {}],
    "batchMaxSize": [0, -1, 100_001, "many", 1.5, True, "1e3", "١٠"],
    "batchTimeout": [-1, 86_401, "25h", "-5", "soon", False],
    "cacheTTL": [0, 5, 301, 7_200, "5", "5d", "2h", True, [300]],
    "cacheBreakpoints": ["automatic", True, 4, ["auto"]],
    "recording": ["on", 1, {}, ["sync"]],
    "databaseUrl": ["calls.db", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "sqlite://host/db", 7],
    "ledgerKey": ["k" * 201, "a\nb", 7],
    "tags": [
        ["team"],
        "team=search",
        {"team": 7},
        {7: "search"},
        {"": "x"},
        {"a": "x" * 257},
        {str(n): "" for n in range(9)},
    ],
    "model": [7, ["a"]],
    "maxTokens": [0, -1, "some", True],
}
"""What is wrong under each name."""


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_invalid_config(name: str, value: Any) -> None:
    (problem,) = problems({name: value})
    assert problem.startswith(f"{name}: ")
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"cacheTTL": "10m"}, "cacheTTL: 600 is not 300 (5m) or 3600 (1h) seconds"),
        ({"batch_max_size": "all"}, "batch_max_size: 'all' is not a whole number from 1 to 100,000"),
        ({"maxTokens": 0}, "maxTokens: 0 is not a whole number of at least 1"),
        ({"cachingEnabled": "on"}, "cachingEnabled: 'on' is not true or false"),
        ({"cacheBreakpoints": "some"}, "cacheBreakpoints: 'some' is not one of auto, manual, none"),
        ({"cacheTTL": "x" * 99}, f"cacheTTL: {'x' * 99!r:.40}… is not 300 (5m) or 3600 (1h) seconds"),
        ({"ledgerKey": "\0"}, "ledgerKey: a key is 1 to 200 characters without control characters"),
        ({"tags": {"a": 1}}, "tags: must be an object whose values are strings"),
        ({"model": 4}, "model: 4 is not text"),
        ({"configuration": "{}"}, "configuration: must be an object"),
        ("{}", "they must be an object, here is str"),
    ],
)
def test_a_problem_says_what_is_meant(entry: Any, expected: str) -> None:
    assert problems(entry) == (expected,)


def test_config_validation() -> None:
    wrong = OptimizationConfig(
        optimization_enabled="true",  # type: ignore[arg-type]
        batch_max_size=0,
        batch_timeout=-1,
        cache_ttl="5m",  # type: ignore[arg-type]
        cache_breakpoints="all",  # type: ignore[arg-type]
        key="",
        tags={"": "x"},
    )
    with pytest.raises(InvalidOptimizationConfig) as caught:
        wrong.validate()
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "optimization_enabled",
        "batch_max_size",
        "batch_timeout",
        "cache_ttl",
        "cache_breakpoints",
        "key",
        "tags",
    ]
    with pytest.raises(InvalidOptimizationConfig, match="batch_timeout: -1 is not"):
        OptimizationConfig.from_dict(wrong)
    MEANT.validate()


def test_problems_of_types_and_of_values_are_named_together() -> None:
    every = {name: values[0] for name, values in WRONG.items()}
    assert [problem.partition(":")[0] for problem in problems(every)] == list(WRONG)
    with pytest.raises(InvalidOptimizationConfig) as caught:
        OptimizationConfig.from_dict({"cacheTTL": 7, "batchMaxSize": "x"})
    assert str(caught.value) == (
        "optimization settings: batchMaxSize: 'x' is not a whole number from 1 to 100,000; "
        "cacheTTL: 7 is not 300 (5m) or 3600 (1h) seconds"
    )


@pytest.mark.parametrize(
    "url",
    ["mysql://me:s3cret@host/db", "sqlite://me:s3cret@host/db", "postgresql://me:s3cret@host:port/db", "s3cret"],
)
def test_no_problem_shows_a_password(url: str) -> None:
    (problem,) = problems({"databaseUrl": url})
    assert problem == (
        "databaseUrl: is no ledger's URL; write sqlite:///FILE, or postgresql+psycopg://USER@HOST/NAME "
        "with llm-ledger[postgres] installed"
    )


def test_nor_does_a_config_show_one() -> None:
    assert "s3cret" not in repr(OptimizationConfig(database_url="postgresql://me:s3cret@host/db"))


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none/calls.db"
    assert problems({"databaseUrl": url}) == (
        f"databaseUrl: {tmp_path}/none/calls.db: the directory {tmp_path}/none does not exist",
    )
    (tmp_path / "none").mkdir()
    assert OptimizationConfig.from_dict({"databaseUrl": url}).database_url == url
    assert not list((tmp_path / "none").iterdir())  # nothing was connected to


def test_what_is_odd_and_well_formed_is_no_problem() -> None:
    odd = {"provider": "ollama", "optimizationEnabled": False, "batchingEnabled": True, "cacheBreakpoints": "none"}
    assert OptimizationConfig.from_dict(odd).batching_enabled


def test_a_config_is_a_value() -> None:
    assert pickle.loads(pickle.dumps(MEANT)) == MEANT
    assert len({MEANT, OptimizationConfig.from_dict(ENTRY)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        MEANT.cache_ttl = 7  # type: ignore[misc]


def test_the_page_lists_every_setting_with_its_default() -> None:
    page = Path(__file__, "../../../docs/configuration.md").resolve().read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (?:`(.+?)`|none) \|", page, flags=re.MULTILINE)
    defaults = dataclasses.asdict(OptimizationConfig())
    assert {field: json.loads(default or "null") for _, field, default in rows} == defaults
    for key, field, _ in rows:
        assert OptimizationConfig.from_dict({key: getattr(MEANT, field)}) == OptimizationConfig(
            **{field: getattr(MEANT, field)}
        )


def test_the_examples_are_true() -> None:
    assert doctest.testmod(module).failed == 0

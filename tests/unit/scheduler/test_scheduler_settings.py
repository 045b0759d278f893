"""What the environment says about scheduling."""

from __future__ import annotations

import pytest

from ledger.errors import ConfigurationError
from scheduler import Policy, SchedulerSettings
from scheduler.settings import Budget

VARIABLES = {
    "LLM_LEDGER_POLL_MIN_SECONDS": "poll_min_seconds",
    "LLM_LEDGER_POLL_MAX_SECONDS": "poll_max_seconds",
    "LLM_LEDGER_HTTP_TIMEOUT_SECONDS": "http_timeout_seconds",
    "LLM_LEDGER_LEASE_SECONDS": "lease_seconds",
    "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "submit_quiet_seconds",
    "LLM_LEDGER_BATCH_MAX_SIZE": "batch_max_size",
    "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "batch_timeout_seconds",
}


def test_nothing_set_means_the_defaults() -> None:
    assert SchedulerSettings.from_env({}) == SchedulerSettings()
    assert SchedulerSettings.from_env(dict.fromkeys(VARIABLES, " ")) == SchedulerSettings()
    assert SchedulerSettings().policy() == Policy()


@pytest.mark.parametrize(("variable", "field"), VARIABLES.items())
def test_every_variable_sets_its_field(variable: str, field: str) -> None:
    assert getattr(SchedulerSettings.from_env({variable: " 77 "}), field) == 77


@pytest.mark.parametrize("variable", [name for name in VARIABLES if name.endswith("SECONDS")])
def test_seconds_may_have_fractions(variable: str) -> None:
    settings = SchedulerSettings.from_env({variable: "0.25"})
    assert getattr(settings, VARIABLES[variable]) == 0.25


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1e9", "1,5"])
def test_an_unusable_value_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{variable}={text} is not a (whole )?number "):
        SchedulerSettings.from_env({variable: text})


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("LLM_LEDGER_LEASE_SECONDS", "a number of seconds above 0, 86,400 at most"),
        ("LLM_LEDGER_SUBMIT_QUIET_SECONDS", "a number of seconds from 0 to 86,400"),
        ("LLM_LEDGER_BATCH_MAX_SIZE", "a whole number from 1 to 100,000"),
    ],
)
def test_what_would_be_usable_is_said_in_words(variable: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as unusable:
        SchedulerSettings.from_env({variable: "abc"})
    assert str(unusable.value) == f"{variable}=abc is not {words}"


@pytest.mark.parametrize(
    ("variable", "usable"),
    [
        ("LLM_LEDGER_POLL_MIN_SECONDS", False),
        ("LLM_LEDGER_LEASE_SECONDS", False),
        ("LLM_LEDGER_BATCH_MAX_SIZE", False),
        ("LLM_LEDGER_SUBMIT_QUIET_SECONDS", True),
        ("LLM_LEDGER_BATCH_TIMEOUT_SECONDS", True),
    ],
)
def test_zero_is_a_time_to_wait_but_no_interval_and_no_size(variable: str, usable: bool) -> None:
    if usable:
        assert getattr(SchedulerSettings.from_env({variable: "0"}), VARIABLES[variable]) == 0
    else:
        with pytest.raises(ConfigurationError, match=variable):
            SchedulerSettings.from_env({variable: "0"})


@pytest.mark.parametrize(
    ("least", "most", "agreed"),
    [("300", "", 300.0), ("", "0.25", 0.25), ("60", "30", 60.0)],
)
def test_the_longest_poll_is_never_shorter_than_the_shortest(least: str, most: str, agreed: float) -> None:
    settings = SchedulerSettings.from_env({"LLM_LEDGER_POLL_MIN_SECONDS": least, "LLM_LEDGER_POLL_MAX_SECONDS": most})
    assert (settings.poll_min_seconds, settings.poll_max_seconds) == (agreed, agreed)


def test_the_policy_follows_the_settings() -> None:
    settings = SchedulerSettings.from_env(
        {
            "LLM_LEDGER_POLL_MIN_SECONDS": "0.5",
            "LLM_LEDGER_POLL_MAX_SECONDS": "2",
            "LLM_LEDGER_LEASE_SECONDS": "3",
            "LLM_LEDGER_SUBMIT_QUIET_SECONDS": "4",
            "LLM_LEDGER_BATCH_MAX_SIZE": "5",
            "LLM_LEDGER_BATCH_TIMEOUT_SECONDS": "6",
        }
    )
    assert settings.policy() == Policy(
        call_deadline_seconds=603.0,
        poll_min_seconds=0.5,
        poll_max_seconds=2.0,
        retry_min_seconds=0.5,
        lease_seconds=3.0,
        submit_quiet_seconds=4.0,
        max_requests=5,
        max_age_seconds=6.0,
    )


@pytest.mark.parametrize(
    ("text", "meant"), [("true", True), ("1", True), ("True", True), ("false", False), ("0", False)]
)
def test_the_last_resort_is_turned_on_and_off(text: str, meant: bool) -> None:
    settings = SchedulerSettings.from_env({"LLM_LEDGER_FALLBACK_TO_STANDARD": text})
    assert settings.policy().fallback_to_standard is meant


def test_what_is_neither_on_nor_off() -> None:
    with pytest.raises(ConfigurationError, match=r"^LLM_LEDGER_FALLBACK_TO_STANDARD=maybe is not true or false$"):
        SchedulerSettings.from_env({"LLM_LEDGER_FALLBACK_TO_STANDARD": "maybe"})


@pytest.mark.parametrize(
    ("text", "total", "day"),
    [
        ("50", 50, None),
        ("$50.00", 50, None),
        ("20/day", None, 20),
        ("20/day,500", 500, 20),
        (" 500 , 20/day ", 500, 20),
        ("999999999999", 999_999_999_999, None),
    ],
)
def test_a_budget_in_total_and_per_day(text: str, total: int | None, day: int | None) -> None:
    policy = SchedulerSettings.from_env({"LLM_LEDGER_BUDGET_USD": text}).policy()
    assert policy.budget_total == (total and total * 10**12)
    assert policy.budget_day == (day and day * 10**12)


def test_a_budget_is_exact() -> None:
    assert Budget.parse("0.000000000001") == Budget(total=1)
    assert Budget.parse("0.1/day") == Budget(day=10**11)


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0/day",
        "-5",
        "much",
        "1e9",
        "20/month",
        "20,50",
        "1/day,2/day",
        "1,2/day,3",
        "20/day,",
        "1,5/day,",
        "١",
        "nan",
    ],
)
def test_an_unusable_budget_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ConfigurationError) as unusable:
        SchedulerSettings.from_env({"LLM_LEDGER_BUDGET_USD": text})
    assert str(unusable.value) == (
        f"LLM_LEDGER_BUDGET_USD={text} is not an amount of USD above 0; "
        "write 50 in total, 20/day per UTC day, or 20/day,500 for both"
    )

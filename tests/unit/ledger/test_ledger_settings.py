"""The ledger's settings, from the environment."""

from __future__ import annotations

import pytest

from ledger.backends import open_database
from ledger.errors import ConfigurationError
from ledger.settings import DEFAULT_DATABASE_URL, LedgerSettings


@pytest.mark.parametrize("environ", [{}, {"LLM_LEDGER_DATABASE_URL": ""}, {"DATABASE_URL": "sqlite:///other.db"}])
def test_without_a_setting_the_ledger_lies_in_the_working_directory(environ: dict[str, str]) -> None:
    assert LedgerSettings.from_env(environ).database_url == DEFAULT_DATABASE_URL == "sqlite:///llm-ledger.db"


def test_the_url_is_taken_as_it_is() -> None:
    assert (
        LedgerSettings.from_env({"LLM_LEDGER_DATABASE_URL": "sqlite:////a b/%20"}).database_url
        == "sqlite:////a b/%20"
    )


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_url_that_would_keep_nothing_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="would keep nothing; write sqlite:///FILE"):
        LedgerSettings.from_env({"LLM_LEDGER_DATABASE_URL": url})


def test_a_slash_too_few_is_named() -> None:
    with pytest.raises(ConfigurationError, match="a file takes three slashes"):
        open_database("sqlite://ledger.db")

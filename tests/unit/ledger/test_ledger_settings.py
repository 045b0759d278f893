"""The ledger's settings, from the environment."""

from __future__ import annotations

import pytest

from ledger.settings import DEFAULT_DATABASE_URL, LedgerSettings


@pytest.mark.parametrize("environ", [{}, {"LLM_LEDGER_DATABASE_URL": ""}, {"DATABASE_URL": "sqlite:///other.db"}])
def test_without_a_setting_the_ledger_lies_in_the_working_directory(environ: dict[str, str]) -> None:
    assert LedgerSettings.from_env(environ).database_url == DEFAULT_DATABASE_URL == "sqlite:///llm-ledger.db"


def test_the_url_is_taken_as_it_is() -> None:
    assert (
        LedgerSettings.from_env({"LLM_LEDGER_DATABASE_URL": "sqlite:////a b/%20"}).database_url
        == "sqlite:////a b/%20"
    )

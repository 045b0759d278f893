"""Which model a host's entry means."""

from __future__ import annotations

from typing import Any

import pytest

from llm_optimization.exceptions import ConfigurationError, UnknownModel
from llm_optimization.models import chosen_model


def entry(model: Any, **more: Any) -> dict[str, Any]:
    return {"provider": "openAI", "configuration": {"model": model}, **more}


@pytest.mark.parametrize("listed", ["gpt-5", "gpt-5,gpt-4", " , gpt-5 , gpt-4,"])
def test_the_first_of_the_list(listed: str) -> None:
    assert chosen_model("openAI", entry(listed)) == "gpt-5"


def test_one_of_the_list() -> None:
    assert chosen_model("openAI", entry("gpt-5, gpt-4"), "gpt-4") == "gpt-4"


def test_an_unlisted_one() -> None:
    with pytest.raises(UnknownModel, match=r"^Model name gpt-3 not found in gpt-5, gpt-4$") as error:
        chosen_model("openAI", entry("gpt-5, gpt-4"), "gpt-3")
    assert isinstance(error.value, ValueError)


def test_a_default_entry_takes_any() -> None:
    assert chosen_model("openAI", entry("gpt-5", isDefault=True), "gpt-3") == "gpt-3"
    assert chosen_model("openAI", entry("gpt-5", isDefault=True)) == "gpt-5"


@pytest.mark.parametrize("listed", ["", " , ", None])
def test_no_model_at_all(listed: str | None) -> None:
    with pytest.raises(ConfigurationError, match="openAI: the configuration lacks model"):
        chosen_model("openAI", entry(listed))


@pytest.mark.parametrize("broken", [{}, {"configuration": None}, {"configuration": "gpt-5"}])
def test_no_configuration(broken: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="openAI: the entry has no configuration"):
        chosen_model("openAI", broken)

"""Generated classes: a wrapped model looks, copies, compares, pickles and serialises as its base does."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.load import dumpd, dumps, loads
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr, SecretStr

from llm_ledger.simulator import RunningSimulator
from llm_optimization import OptimizationConfig, OptimizedLLMWrapper
from llm_optimization.exceptions import NotWrappable
from llm_optimization.recorded_model import RecordedChatModel
from tests.support.wrapped_calls import calls, claude

SETTINGS = OptimizationConfig(optimization_enabled=True, caching_enabled=True, tags={"team": "search"})


class Keeping(BaseChatModel):
    """A model with a state of every sort."""

    name_: str = "a"
    _count: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "keeping"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, **kwargs: Any) -> ChatResult:
        raise NotImplementedError


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> ChatAnthropic:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    return ChatAnthropic(model="claude-sonnet-4-6", temperature=0.5, max_tokens=9, betas=["b"])


@pytest.fixture
def llm(base: ChatAnthropic) -> Any:
    return OptimizedLLMWrapper(base, "anthropic", SETTINGS)


def test_it_dumps_as_the_base_does(base: ChatAnthropic, llm: Any) -> None:
    assert llm.model_dump() == base.model_dump()
    assert llm.model_fields_set == base.model_fields_set
    assert dumpd(llm) == dumpd(base)
    assert llm.lc_id() == base.lc_id()
    assert str(llm) == str(base)
    assert type(llm).__doc__ == ChatAnthropic.__doc__


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_serialisation_gives_what_it_gives_of_the_base(base: ChatAnthropic, llm: Any) -> None:
    secrets = {"ANTHROPIC_API_KEY": "key"}
    again = loads(dumps(llm), secrets_map=secrets, allowed_objects=[ChatAnthropic])
    assert type(again) is ChatAnthropic
    assert again == loads(dumps(base), secrets_map=secrets, allowed_objects=[ChatAnthropic])


def test_pickle_gives_a_wrapped_model(llm: Any) -> None:
    again = pickle.loads(pickle.dumps(llm))
    assert type(again) is type(llm)
    assert again == llm
    assert again.config == SETTINGS
    assert again.anthropic_api_key == SecretStr("key")
    assert again.base_model == llm.base_model


def test_pickle_fails_where_it_fails_of_the_base(base: ChatAnthropic, llm: Any) -> None:
    base.__dict__["_client"] = llm.__dict__["_client"] = (n for n in ())  # no more than an open client
    for model in (base, llm):
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(model)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda model: model.model_copy(), lambda model: model.model_copy(deep=True)]
)
def test_copies_are_wrapped_and_apart(llm: Any, copied: Any) -> None:
    again = copied(llm)
    assert type(again) is type(llm)
    assert again == llm
    assert again.optimization is llm.optimization
    again.temperature = 0.9
    assert (llm.temperature, again.temperature, again.base_model.temperature) == (0.5, 0.9, 0.9)
    assert again != llm


def test_equality_is_that_of_the_bases_and_the_settings(base: ChatAnthropic, llm: Any) -> None:
    assert llm == base
    assert base == llm
    assert llm == OptimizedLLMWrapper(base, "anthropic", SETTINGS)
    assert llm != OptimizedLLMWrapper(base, "anthropic", {})
    assert llm != RecordedChatModel(base, "anthropic", SETTINGS)
    assert llm != base.model_copy(update={"max_tokens": 1})
    assert llm != "claude"
    with pytest.raises(TypeError, match="unhashable"):
        hash(llm)


def test_it_finds_in_langchains_cache_what_the_base_left_there(base: ChatAnthropic, llm: Any) -> None:
    base.cache = llm.cache = cache = InMemoryCache()
    prompt = dumps([HumanMessage("One?")])
    cache.update(prompt, base._get_llm_string(), [ChatGeneration(message=AIMessage("cached"))])
    assert llm.invoke("One?").content == "cached"


def test_private_state_goes_along_and_is_not_shared() -> None:
    base = Keeping()
    base._count = 3
    llm: Any = RecordedChatModel(base, "ollama", SETTINGS)
    assert (llm._count, llm.base_model._count) == (3, 3)
    llm._count = 4
    assert base._count == 3


def test_the_base_model_is_the_one_that_was_wrapped_until_something_changes(base: ChatAnthropic, llm: Any) -> None:
    assert llm.base_model is base
    llm.temperature = 0.1
    changed = llm.base_model
    assert changed is not base
    assert (type(changed), changed.temperature, base.temperature) == (ChatAnthropic, 0.1, 0.5)
    assert "optimization" not in changed.__dict__


def test_generated_classes_are_made_once(base: ChatAnthropic, llm: Any) -> None:
    assert type(OptimizedLLMWrapper(base, "anthropic", SETTINGS)) is type(llm)
    assert type(RecordedChatModel(base, "anthropic", SETTINGS)) is not type(llm)
    assert type(llm)(model="claude-opus-4-6", api_key="k").optimization is None  # by its fields, as its base is made


def test_what_python_makes_no_class_of_is_not_wrapped() -> None:
    class Final(GenericFakeChatModel):
        """Wants no heirs."""

        def __init_subclass__(cls, **kwargs: Any) -> None:
            raise TypeError("no heirs")

    with pytest.raises(NotWrappable, match="Final"):
        OptimizedLLMWrapper(Final(messages=iter([])), "ollama", {})


class Handing(Keeping):
    """A model that makes another one of itself."""

    @property
    def other(self) -> Keeping:
        return Keeping(name_="b", _count=2)

    @property
    def plain(self) -> str:
        return self.name_

    @plain.setter
    def plain(self, value: str) -> None:
        self.name_ = value


def test_a_model_that_a_wrapped_one_makes_of_itself_is_wrapped_alike() -> None:
    base = Handing()
    llm: Any = RecordedChatModel(base, "ollama", SETTINGS)
    other = llm.other
    assert isinstance(other, RecordedChatModel)
    assert isinstance(other, Keeping)
    assert other.optimization is llm.optimization
    assert type(other.base_model) is Keeping
    assert (other.name_, llm.plain) == ("b", "a")
    llm.plain = "c"
    assert llm.name_ == "c"
    assert type(base.other) is Keeping
    assert type(type(llm)().other) is Keeping  # made by its fields, as its base is: without settings


def test_what_is_misspelt_is_missed_as_ever(base: ChatAnthropic, llm: Any) -> None:
    with pytest.raises(AttributeError, match="temprature"):
        _ = llm.temprature
    unset: Any = type(llm)(model="claude-opus-4-6", api_key="k")
    with pytest.raises(AttributeError, match="capabilities"):
        _ = unset.capabilities


def test_a_model_that_is_switched_off_is_the_base_at_every_call() -> None:
    off = OptimizedLLMWrapper(ChatAnthropic(model="claude-sonnet-4-6", api_key="k"), "anthropic", {})
    for name in ("_generate", "_agenerate", "_stream", "_astream", "stream", "batch", "abatch", "_create"):
        assert getattr(type(off), name) is getattr(ChatAnthropic, name)
    assert isinstance(off, OptimizedLLMWrapper)
    again = pickle.loads(pickle.dumps(off))
    assert type(again) is type(off)
    on = OptimizedLLMWrapper(off, "anthropic", SETTINGS)
    assert type(on)._generate is not ChatAnthropic._generate


async def test_a_class_derived_from_a_generated_one_is_recorded_as_well(
    simulator: RunningSimulator, ledger_url: str
) -> None:
    async with claude(simulator) as base:
        llm = RecordedChatModel(base, "anthropic", SETTINGS)
        object.__setattr__(llm, "__class__", type("Derived", (type(llm),), {}))
        assert llm.invoke("One?").content
    assert [row.status for row in calls(ledger_url)] == ["succeeded"]


def test_a_field_of_our_name_is_not_taken_from_a_model() -> None:
    class Named(ChatAnthropic):
        optimization: str = "speed"

    with pytest.raises(NotWrappable, match="a field of its own called optimization"):
        RecordedChatModel(Named(model="claude-sonnet-4-6", api_key="k"), "anthropic", SETTINGS)

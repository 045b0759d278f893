"""How LangChain's standard suites are set up for ChatAnthropic: the same for the bare model and a wrapped one."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Literal, cast

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessageChunk

from llm_optimization import OptimizedLLMWrapper

__all__ = ["IntegrationSetup", "UnitSetup", "wrapping_class"]

_MODEL = "claude-haiku-4-5"
_OTHER_MODEL = "claude-sonnet-4-6"
_OLD_CORE = version("langchain-core").startswith("0.")
_SETTINGS = {"optimizationEnabled": True, "cachingEnabled": True}
_Detail = Literal["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]
# Above the 4,096 tokens from which the model caches at all, by any estimate.
_LONG = "What is written here is the same in every request. " * 1_000


def wrapping_class(base: type[ChatAnthropic], provider: str) -> type[ChatAnthropic]:
    """A class whose construction gives a wrapped model: the suites construct by the class."""

    class Wrapping(base):  # type: ignore[misc, valid-type]
        def __new__(cls, **params: Any) -> Any:
            # No instance of this class, so that its own __init__ stays out of it.
            return OptimizedLLMWrapper(base(**params), provider, _SETTINGS)

    return Wrapping


class UnitSetup:
    """What the unit suite asks about the model, as langchain-anthropic's own tests answer it."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": _MODEL}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"ANTHROPIC_API_KEY": "test"}, {"model": _MODEL}, {"anthropic_api_key": "test"}

    @pytest.mark.xfail(_OLD_CORE, reason="the suite of langchain-core 0.3 loads what its newest releases refuse")
    def test_serdes(self, model: Any, snapshot: Any) -> None:
        super().test_serdes(model, snapshot)  # type: ignore[misc]


class IntegrationSetup:
    """What the integration suite asks about the model, as langchain-anthropic's own tests answer it.

    `key` is the account that pays.
    """

    key: str
    enable_vcr_tests = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_image_tool_message = True
    supports_pdf_inputs = True
    supports_pdf_tool_message = True
    supports_anthropic_inputs = True
    supports_model_override = True
    model_override_value = _OTHER_MODEL

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": _MODEL, "api_key": self.key}

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[_Detail]]:
        details: list[_Detail] = ["cache_read_input", "cache_creation_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return self._ask_with_long_prefix(stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        self._ask_with_long_prefix(stream)
        answer = self._ask_with_long_prefix(stream)
        assert answer.response_metadata.get("usage", {}).get("cache_read_input_tokens", 1) > 0
        return answer

    def _ask_with_long_prefix(self, stream: bool) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)  # type: ignore[attr-defined]
        block = {"type": "text", "text": _LONG, "cache_control": {"type": "ephemeral"}}
        messages = [{"role": "user", "content": [block]}]
        if not stream:
            return cast("AIMessage", model.invoke(messages))
        whole: BaseMessageChunk | None = None
        for chunk in model.stream(messages):
            whole = chunk if whole is None else whole + chunk
        assert isinstance(whole, AIMessageChunk)
        return whole

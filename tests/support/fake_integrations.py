"""LangChain's integration packages as modules in memory, whose classes are chat models that answer by themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import ConfigDict

__all__ = ["CLASSES", "FakeChat", "given_to", "installed"]

CLASSES = {
    "langchain_anthropic": ("ChatAnthropic",),
    "langchain_aws": ("ChatBedrockConverse",),
    "langchain_cohere": ("ChatCohere",),
    "langchain_fireworks": ("ChatFireworks",),
    "langchain_google_genai": ("ChatGoogleGenerativeAI",),
    "langchain_groq": ("ChatGroq",),
    "langchain_mistralai": ("ChatMistralAI",),
    "langchain_ollama": ("ChatOllama",),
    "langchain_openai": ("ChatOpenAI", "AzureChatOpenAI"),
    "langchain_together": ("ChatTogether",),
    "langchain_xai": ("ChatXAI",),
}


class FakeChat(BaseChatModel):
    """Answers "Hello there." to everything. Every argument becomes an attribute."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    @property
    def _llm_type(self) -> str:
        return "fake"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        used = {"input_tokens": 21, "output_tokens": 5, "total_tokens": 26}
        answer = AIMessage("Hello there.", id="m1", usage_metadata=used, response_metadata={"model_name": "fake-1"})
        return ChatResult(generations=[ChatGeneration(message=answer)])


def given_to(model: BaseChatModel) -> dict[str, Any]:
    """The arguments that a fake was made with."""
    return dict(model.model_extra or {})


@contextmanager
def installed(base: type[BaseChatModel] = FakeChat) -> Iterator[None]:
    """Every integration is there; each of its classes is a subclass of `base` under its own name."""
    modules = {}
    for package, names in CLASSES.items():
        modules[package] = ModuleType(package)
        for name in names:
            setattr(modules[package], name, type(base)(name, (base,), {"__module__": package}))
    with patch.dict(sys.modules, modules):
        yield

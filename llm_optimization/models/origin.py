"""Whose model a LangChain model is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from llm_optimization.capabilities import ProviderCapabilities

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["provider_of"]

_OPENAI_HOST: Final = "api.openai.com"


def provider_of(model: BaseChatModel) -> str:
    """The canonical name of the provider behind a model, told by the type that LangChain logs for its class.

    Subclasses inherit it. A `ChatOpenAI` that talks to another server is `openai_compatible`; an unknown type is its
    own name, and counts as a provider without optimisation.
    """
    kind = model._llm_type  # noqa: SLF001 - every chat model has to define it, and nothing public says the same
    words = [word for word in re.split(r"[-_]", kind.lower()) if word != "chat"]
    if "bedrock" in words or "mantle" in words:
        return "bedrock"
    if words == ["google", "generative", "ai"]:
        return "vertex_ai" if getattr(model, "_use_vertexai", False) else "gemini"
    provider = ProviderCapabilities.detect(" ".join(words)).provider
    return "openai_compatible" if provider == "openai" and _elsewhere(model) else provider


def _elsewhere(model: BaseChatModel) -> bool:
    address = getattr(model, "openai_api_base", None)
    return bool(address) and urlsplit(str(address)).hostname != _OPENAI_HOST

"""Whose model a model is. LangChain's real classes are asked in test_provider_calls."""

from __future__ import annotations

import pytest

from llm_optimization.models import provider_of
from tests.support.fake_integrations import FakeChat


@pytest.mark.parametrize(
    ("kind", "provider"),
    [
        ("anthropic-chat", "anthropic"),
        ("amazon_bedrock_chat", "bedrock"),
        ("amazon_bedrock_converse_chat", "bedrock"),
        ("anthropic-bedrock-chat", "bedrock"),
        ("openai-mantle-chat", "bedrock"),
        ("azure-openai-chat", "azure_openai"),
        ("chat-google-generative-ai", "gemini"),
        ("vertexai", "vertex_ai"),
        ("openai-chat", "openai"),
        ("chat-ollama", "ollama"),
        ("Chat-Acme", "acme"),
        ("chat", ""),
    ],
)
def test_by_the_type_that_its_class_reports(kind: str, provider: str) -> None:
    class Chat(FakeChat):
        @property
        def _llm_type(self) -> str:
            return kind

    assert provider_of(Chat()) == provider


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        (None, "openai"),
        ("https://api.openai.com/v1", "openai"),
        ("http://localhost:1234/v1", "openai_compatible"),
    ],
)
def test_the_openai_format_elsewhere_is_not_openai(address: str | None, provider: str) -> None:
    class Chat(FakeChat):
        @property
        def _llm_type(self) -> str:
            return "openai-chat"

    assert provider_of(Chat(openai_api_base=address)) == provider  # type: ignore[call-arg]

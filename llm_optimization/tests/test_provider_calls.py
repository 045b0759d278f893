"""LangChain's real classes of fourteen providers, bare and wrapped, against a local server that speaks their formats.

What goes over the wire and what comes back is the same with and without us, and the ledger holds what was used.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from functools import reduce
from operator import add
from typing import Any

import msgspec
import pytest
from langchain_core.messages import BaseMessage
from langchain_core.tools import tool

from ledger import Ledger, queries, shared_writer
from ledger.projections import RequestRow
from llm_optimization.aimodels import get_generator_model
from llm_optimization.capabilities import ProviderCapabilities
from llm_optimization.config import OptimizationConfig
from llm_optimization.models import provider_of
from llm_optimization.recorded_model import RecordedChatModel
from llm_optimization.recording import recorder_for
from llm_optimization.wrapper import OptimizedLLMWrapper
from tests.support.provider_stand_ins import ANSWER, CACHED, PROMPT, TEXT, TOKENS, Heard, StandIns, running

pytestmark = [
    pytest.mark.integrations,
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession from ClientSession:DeprecationWarning"),
]

MODELS = {
    "anthropic": "claude-sonnet-4-6",
    "azureOpenAI": "gpt-5",
    "bedrock": "anthropic.claude-sonnet-4-6",
    "cohere": "command-a",
    "fireworks": "accounts/fireworks/models/glm",
    "gemini": "gemini-2.5-flash",
    "groq": "llama-3.3-70b",
    "mistral": "mistral-small",
    "ollama": "llama3",
    "openAI": "gpt-5",
    "openAICompatible": "qwen",
    "together": "meta/llama",
    "vertexAI": "gemini-2.5-flash",
    "xai": "grok-4",
}
CLASSES = {
    "anthropic": "ChatAnthropic",
    "azureOpenAI": "AzureChatOpenAI",
    "bedrock": "ChatBedrockConverse",
    "cohere": "ChatCohere",
    "fireworks": "ChatFireworks",
    "gemini": "ChatGoogleGenerativeAI",
    "groq": "ChatGroq",
    "mistral": "ChatMistralAI",
    "ollama": "ChatOllama",
    "openAI": "ChatOpenAI",
    "openAICompatible": "ChatOpenAI",
    "together": "ChatTogether",
    "vertexAI": "ChatGoogleGenerativeAI",
    "xai": "ChatXAI",
}
# Ollama has no cache to report of; LangChain's class of Cohere says nothing of one, that of Mistral only whole.
CACHE_NOT_TOLD = {
    *(
        (provider, way)
        for provider in ("cohere", "ollama")
        for way in ("invoke", "ainvoke", "stream", "astream", "bound")
    ),
    ("mistral", "stream"),
    ("mistral", "astream"),
}

Way = Callable[[Any, Any], Awaitable[BaseMessage]]


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return city


async def _invoke(model: Any, prompt: Any) -> BaseMessage:
    answer: BaseMessage = model.invoke(prompt)
    return answer


async def _ainvoke(model: Any, prompt: Any) -> BaseMessage:
    answer: BaseMessage = await model.ainvoke(prompt)
    return answer


async def _stream(model: Any, prompt: Any) -> BaseMessage:
    return reduce(add, model.stream(prompt))


async def _astream(model: Any, prompt: Any) -> BaseMessage:
    return reduce(add, [chunk async for chunk in model.astream(prompt)])


async def _bound(model: Any, prompt: Any) -> BaseMessage:
    return await _ainvoke(model.bind_tools([weather]), prompt)


WAYS: dict[str, Way] = {
    "invoke": _invoke,
    "ainvoke": _ainvoke,
    "stream": _stream,
    "astream": _astream,
    "bound": _bound,
}


@pytest.fixture(scope="module")
def server() -> Iterator[StandIns]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def ledger_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('calls') / 'ledger.db'}"
    yield url
    shared_writer(url).close()


@pytest.fixture(scope="module")
def account(server: StandIns) -> str:
    """The key of a service account of Google's, whose access tokens come from the stand-in."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "acme",
            "private_key": pem.decode(),
            "client_email": "llm@acme.test",
            "token_uri": f"{server.url('vertexAI')}/{TOKENS}",
        }
    )


def prompt_for(provider: str) -> list[tuple[str, str]]:
    """Long enough to be marked wherever markers are set; but Anthropic's own are another test's business."""
    return [("system", "Be brief." * (1 if provider == "anthropic" else 2_000)), ("human", "Hi")]


def wire(heard: Heard) -> tuple[str, str, dict[str, str], bytes]:
    """A request but for what differs from one to the next anyhow: AWS signs the time."""
    moving = {"amz-sdk-invocation-id", "x-amz-date"} | ({"authorization"} if "x-amz-date" in heard.headers else set())
    headers = {name: value for name, value in heard.headers.items() if name not in moving}
    return heard.method, heard.path, headers, heard.body


def said(message: BaseMessage) -> dict[str, Any]:
    """An answer but for the id of LangChain's run."""
    return message.model_dump(exclude={"id"})


def tokens(row: RequestRow) -> dict[str, int]:
    """What the ledger counts as input, read from a cache, and output."""
    ((_, _, _, uncached, _, _, read, output, _),) = msgspec.json.decode(row.usage)
    return {"input": uncached + read, "read": read, "output": output}


def recorded(url: str, key: str) -> list[RequestRow]:
    recorder_for(OptimizationConfig(database_url=url)).flush()
    with Ledger.open(url) as ledger:
        return list(queries.requests(ledger, key=key))


async def same_exchange(way: Way, bare: Any, model: Any, prompt: Any, server: StandIns) -> None:
    expected, asked = await way(bare, prompt), server.taken()
    answer, heard = await way(model, prompt), server.taken()
    assert TEXT in str(expected.text)
    assert said(answer) == said(expected)
    assert len(heard) == 1
    assert [wire(request) for request in heard] == [wire(request) for request in asked]


def same_refusal(bare: Any, model: Any, prompt: Any, server: StandIns) -> None:
    with server.refuses():
        with pytest.raises(Exception) as expected:
            bare.invoke(prompt)
        with pytest.raises(type(expected.value)) as refusal:
            model.invoke(prompt)
    assert str(refusal.value) == str(expected.value)
    first, second = server.taken()
    assert wire(second) == wire(first)


@pytest.mark.parametrize("provider", MODELS)
async def test_a_call_is_the_bare_models_and_recorded(
    provider: str, server: StandIns, ledger_at: str, account: str
) -> None:
    configuration = {
        "model": MODELS[provider],
        "apiKey": "sk-test",
        "endpoint": server.url(provider),
        "deploymentName": "chat",
        "region": "us-east-1",
        "awsAccessKeyId": "AKIA1",
        "awsAccessSecretKey": "secret",
        "serviceAccountJson": account,
        "databaseUrl": ledger_at,
        "ledgerKey": provider,
        "cachingEnabled": True,
    }
    name = ProviderCapabilities.detect(provider).provider
    bare: Any = get_generator_model(provider, {"configuration": configuration})
    model: Any = get_generator_model(provider, {"configuration": configuration | {"optimizationEnabled": True}})
    assert type(bare).__name__ == type(model).__name__ == CLASSES[provider]
    assert isinstance(model, type(bare))
    assert provider_of(bare) == provider_of(model) == {"openai": "openai_compatible"}.get(name, name)

    prompt = prompt_for(provider)
    for way in WAYS.values():
        await same_exchange(way, bare, model, prompt, server)
    same_refusal(bare, model, prompt, server)
    for each in (bare, model):
        if hasattr(each, "aclose"):
            await each.aclose()

    *answered, refused = recorded(ledger_at, provider)
    assert [(row.provider, row.status, row.mode) for row in answered] == [(name, "succeeded", "standard")] * len(WAYS)
    assert (refused.provider, refused.status, refused.usage) == (name, "errored", "[]")
    assert {way: tokens(row) for way, row in zip(WAYS, answered, strict=True)} == {
        way: {"input": PROMPT, "read": 0 if (provider, way) in CACHE_NOT_TOLD else CACHED, "output": ANSWER}
        for way in WAYS
    }


def test_what_a_model_hands_on_to_one_derived_from_it_is_recorded_once(server: StandIns, ledger_at: str) -> None:
    """ChatBedrock calls a Converse model of its own making, and binds tools to it."""
    from langchain_aws import ChatBedrock

    base: Any = ChatBedrock(
        model=MODELS["bedrock"],
        beta_use_converse_api=True,
        region="us-east-1",
        aws_access_key_id="AKIA1",
        aws_secret_access_key="secret",
        endpoint_url=server.url("bedrock"),
    )
    settings = OptimizationConfig(
        optimization_enabled=True, caching_enabled=True, database_url=ledger_at, key="derived"
    )
    schema = {"title": "city", "description": "One.", "type": "object", "properties": {"name": {"type": "string"}}}
    for wrapper in (OptimizedLLMWrapper, RecordedChatModel):
        model: Any = wrapper(base, "bedrock", settings)
        assert type(model._as_converse.base_model) is type(base._as_converse)
        assert TEXT in model.invoke("Hi").text
        assert TEXT in str(reduce(add, model.stream("Hi")).text)
        assert TEXT in model.bind_tools([weather]).invoke("Hi").text
        assert model.with_structured_output(schema, include_raw=True).invoke("Hi")["raw"].text == TEXT
    assert len(server.taken()) == 8
    assert [(row.status, tokens(row)["read"]) for row in recorded(ledger_at, "derived")] == [
        ("succeeded", CACHED)
    ] * 8


def test_sampling_reaches_anthropic_only_where_it_is_taken(server: StandIns) -> None:
    for model, temperature, version in (("claude-sonnet-4-6", 0.2, "2023-06-01"), ("claude-opus-5", None, None)):
        configuration = {"model": model, "apiKey": "k", "endpoint": server.url("anthropic"), "temperature": 0.2}
        get_generator_model("anthropic", {"configuration": configuration}).invoke("Hi")
        (heard,) = server.taken()
        assert json.loads(heard.body).get("temperature") == temperature
        assert version in (None, heard.headers["anthropic-version"])

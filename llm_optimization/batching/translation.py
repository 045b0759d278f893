"""Between LangChain and the Messages API: inputs become params, messages become what the model itself would return.

LangChain is imported when it is first needed. Its own methods do the work, so that an answer from a batch is the one
that a standard call gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ledger.errors import InvalidRequest, LedgerError
from llm_optimization.batching.params import betas_of, item_params, message_of
from llm_optimization.cache_manager import CacheManager
from llm_optimization.exceptions import ConfigurationError, MissingIntegration, NotWrappable

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

    from llm_optimization.config import OptimizationConfig

__all__ = ["Translator"]

_NEEDED: Final = ("_get_request_payload", "_format_output")


class Translator:
    """Speaks for `model`, a `ChatAnthropic` with whatever is bound to it.

    Without one, for the configuration's `model` and `max_tokens`; params mappings need neither.
    """

    def __init__(self, model: Any, config: OptimizationConfig, cache: CacheManager) -> None:
        self._model: Any = None
        self._bound: dict[str, Any] = {}
        if model is not None:
            self._model, self._bound = _unbound(model)
        self._betas = betas_of(getattr(self._model, "default_headers", None))
        self._config = config
        self._cache = cache

    @property
    def speaks(self) -> bool:
        """Whether messages can become LangChain's: there is a model, or the name of one."""
        return self._model is not None or self._config.model is not None

    @property
    def model(self) -> Any:
        """The bare chat model. Raises `ConfigurationError` without a name for one, or without LangChain."""
        if self._model is None:
            self._model = self._made()
        return self._model

    def params(self, item: Any) -> dict[str, Any]:
        """The params of one input: messages, text, a prompt value, dicts with a role, or a mapping of params itself.

        They are marked for the cache if the configuration says so. Raises `InvalidRequest` for an input that is
        none, and `ConfigurationError` as `model` does.
        """
        if isinstance(item, Mapping):
            payload: Mapping[str, Any] = item
        else:
            model = self.model
            try:
                payload = model._get_request_payload(item, **self._bound)  # noqa: SLF001 - the one way to its payload
            except LedgerError:
                raise
            except Exception as error:
                raise InvalidRequest("", f"no input of a chat model: {error} ({type(error).__name__})") from error
        return dict(self._cache.mark_params(item_params(payload, self._betas)).params)

    def reply(self, message: Mapping[str, Any], *, beta: bool) -> AIMessage:
        """LangChain's message of a provider's message; `beta` if the request had betas."""
        result = self.model._format_output(message_of(message, beta=beta))  # noqa: SLF001 - the one way from its answer
        reply: AIMessage = result.generations[0].message
        reply.response_metadata = {**(result.llm_output or {}), **reply.response_metadata}
        reply.id = reply.id or message.get("id")
        return reply

    def _made(self) -> Any:
        if self._config.model is None:
            raise ConfigurationError(
                "a batch of messages needs a model: hand one over as model=, or name one in the configuration"
            )
        try:
            from langchain_anthropic import ChatAnthropic
            from pydantic import SecretStr
        except ImportError as missing:
            raise MissingIntegration("anthropic", "langchain-anthropic", "langchain") from missing
        # It only translates: what is sent goes with the engine's own key.
        return ChatAnthropic(
            model_name=self._config.model,
            max_tokens_to_sample=self._config.max_tokens,
            api_key=SecretStr("unused"),
            timeout=None,
            stop=None,
        )


def _unbound(model: Any) -> tuple[Any, dict[str, Any]]:
    """The chat model itself, and what is bound to it. Raises `NotWrappable`."""
    bound: dict[str, Any] = {}
    while hasattr(model, "bound") and hasattr(model, "kwargs"):
        bound = {**model.kwargs, **bound}
        model = model.bound
    model = getattr(model, "base_model", model)  # one of ours would mark the prompt a second time, and record it
    if not all(callable(getattr(model, name, None)) for name in _NEEDED):
        raise NotWrappable(type(model).__name__, "batches are made for ChatAnthropic, or a binding of it")
    return model, bound

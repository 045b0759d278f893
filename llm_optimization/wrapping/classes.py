"""Generated classes: somebody else's chat model with ours in front, under its own name.

    OptimizedLLMWrapper(ChatAnthropic(...), "anthropic", {...})   an instance of (OptimizedLLMWrapper, ChatAnthropic)

An instance holds the state of the model that it was made from, as it is: no validator runs, no client is made anew.
Ours is one field, `optimization`, which no dump, repr or serialisation shows.
"""

from __future__ import annotations

from inspect import getattr_static, signature
from types import new_class
from typing import Any

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel

from llm_optimization.exceptions import NotWrappable
from llm_optimization.wrapping.mishaps import mishap
from llm_optimization.wrapping.optimization import Optimization
from llm_optimization.wrapping.taps import AnthropicTaps, is_tappable
from scheduler.providers.anthropic.limits import NAME as ANTHROPIC

__all__ = ["FIELD", "bare", "origin_of", "recreated", "unmanaged", "wrapped", "wrapped_class"]

FIELD = "optimization"

_HOOKS = ("_generate", "_agenerate", "_stream", "_astream")
# LangChain asks whether a class has these by comparing them to its own.
_OPTIONAL = ("_agenerate", "_astream", "_stream")
# Where a class makes its protocol events itself, LangChain does not ask its stream, which is what is recorded.
_NATIVE = ("_stream_chat_model_events", "_astream_chat_model_events")

# What ours do differently. A model that is switched off does none of it: it is the base at every call.
_OURS = (
    *_HOOKS,
    "_generate_with_cache",
    "_agenerate_with_cache",
    "_should_stream",
    "_should_use_protocol_streaming",
    "stream",
    "astream",
    "batch",
    "abatch",
)

_Wrapper = type[BaseChatModel]
"""`RecordedChatModel`, or what derives from it."""
_Origin = tuple[_Wrapper, type[BaseChatModel], bool, bool]
_classes: dict[_Origin, _Wrapper] = {}


def wrapped(wrapper: _Wrapper, model: Any, optimization: Optimization) -> Any:
    """An instance of `wrapper` that does what `model` does. Raises `NotWrappable` for what is no chat model."""
    if not isinstance(model, BaseChatModel):
        raise NotWrappable(
            type(model).__name__, "it is no chat model; wrap the model before binding tools or settings"
        )
    if FIELD in type(model).model_fields:
        raise NotWrappable(type(model).__name__, f"it has a field of its own called {FIELD}")
    tapped = optimization.capabilities.provider == ANTHROPIC
    kind = wrapped_class(wrapper, type(model), tapped=tapped, active=optimization.active)
    made: Any = _moved(model, kind, {FIELD: optimization})
    return made


def bare(model: Any) -> BaseChatModel:
    """A model of the base's own class on the present state: the one that was wrapped, where nothing changed since."""
    state = {name: value for name, value in model.__dict__.items() if name != FIELD}
    kind = origin_of(type(model))[1]
    origin: BaseChatModel | None = getattr(model.optimization, "origin", None)
    if type(origin) is kind and _same(origin.__dict__, state) and origin.__pydantic_private__ == _private(model):
        return origin
    made: BaseChatModel = _moved(model, kind)
    return made


def origin_of(kind: type[Any]) -> _Origin:
    """What a generated class, or the one it derives from, was made of, as `recreated` takes it."""
    made: _Origin = kind.__made_of__
    return made


def unmanaged(kind: type[Any]) -> frozenset[str]:
    """The hooks of the base that take no run manager."""
    hooks: frozenset[str] = kind.__unmanaged__
    return hooks


def wrapped_class(wrapper: _Wrapper, base: type[BaseChatModel], *, tapped: bool, active: bool) -> _Wrapper:
    """The generated class, always the same for the same four. Raises `NotWrappable` if there can be none."""
    key = (wrapper, base, tapped and active and is_tappable(base), active)
    found = _classes.get(key)
    if found is None:
        try:
            found = _classes.setdefault(key, _generated(*key))
        except (TypeError, ValueError, NameError) as error:
            raise NotWrappable(base.__name__, f"no class can be made of it ({type(error).__name__})") from error
    return found


def recreated(wrapper: _Wrapper, base: type[BaseChatModel], tapped: bool, active: bool) -> Any:
    """An instance without any state, for pickle to fill."""
    made: Any = object.__new__(wrapped_class(wrapper, base, tapped=tapped, active=active))
    return made


def _generated(wrapper: _Wrapper, base: type[BaseChatModel], tapped: bool, active: bool) -> _Wrapper:
    def __new__(cls: type, *args: Any, **fields: Any) -> Any:
        return object.__new__(cls)

    def __init__(self: Any, *args: Any, **fields: Any) -> None:
        if FIELD not in self.__dict__:  # else `wrapped` has made it, and Python calls this on the way out
            base.__init__(self, *args, **fields)

    body: dict[str, Any] = {
        "__new__": __new__,
        "__init__": __init__,
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__hash__": base.__hash__,
        "__made_of__": (wrapper, base, tapped, active),
        "__unmanaged__": frozenset(filter(lambda hook: not _is_managed(getattr(base, hook)), _HOOKS)),
    }
    if active:
        body.update((name, _passed_on(derived)) for name, derived in _own_properties(base).items())
    else:
        body.update((name, getattr(base, name)) for name in _OURS if hasattr(base, name))
    for name in _OPTIONAL:
        if getattr(base, name) is getattr(BaseChatModel, name):
            body[name] = getattr(BaseChatModel, name)
    bases = (wrapper, AnthropicTaps, base) if tapped else (wrapper, base)
    made: _Wrapper = new_class(base.__name__, bases, {}, lambda namespace: namespace.update(body))
    for native in _NATIVE:
        if active and getattr(base, native, None) is not None and "_stream" not in body:
            setattr(made, native, None)
    return made


def _own_properties(base: type[BaseChatModel]) -> dict[str, property]:
    """What a class computes beyond what every chat model does, and beyond what it dumps."""
    found = {name: getattr(base, name) for name in dir(base) if isinstance(getattr_static(base, name), property)}
    known = {*dir(BaseChatModel), *base.model_computed_fields}
    return {name: value for name, value in found.items() if name not in known}


def _passed_on(derived: property) -> property:
    """The same property; where it gives another chat model (ChatBedrock its Converse one), that is wrapped alike."""

    def get(self: Any) -> Any:
        value = derived.__get__(self)
        optimization = self.__dict__.get(FIELD)
        if optimization is None or not isinstance(value, BaseChatModel) or FIELD in value.__dict__:
            return value
        try:
            # With the same object of ours: a call that this model hands on to it is one call.
            return wrapped(origin_of(type(self))[0], value, optimization)
        except NotWrappable as error:
            mishap("a model derived from another cannot be wrapped", error)
            return value

    return property(get, derived.fset, derived.fdel, derived.__doc__)


def _is_managed(hook: Any) -> bool:
    return "run_manager" in signature(hook).parameters


def _moved(model: Any, kind: type, extra: dict[str, Any] | None = None) -> Any:
    """An instance of another class with this one's state; what is in the state is shared."""
    state = BaseModel.__getstate__(model)
    names = {name: value for name, value in state["__dict__"].items() if name != FIELD}
    made: Any = object.__new__(kind)
    BaseModel.__setstate__(
        made,
        {
            "__dict__": {**names, **(extra or {})},
            "__pydantic_extra__": state["__pydantic_extra__"] and dict(state["__pydantic_extra__"]),
            "__pydantic_fields_set__": set(state["__pydantic_fields_set__"]) - {FIELD},
            "__pydantic_private__": state["__pydantic_private__"] and dict(state["__pydantic_private__"]),
        },
    )
    return made


def _private(model: Any) -> dict[str, Any] | None:
    private: dict[str, Any] | None = model.__pydantic_private__
    return private


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two states hold the same objects; what was only computed from them does not count."""
    return all(other[name] is value for name, value in one.items() if name in other)

"""Under which key and tags a call is recorded: the model's own settings, and what one call says about itself.

    llm.invoke(prompt, config={"metadata": {"llm_ledger_tags": {"team": "search"}, "llm_ledger_key": "nightly"}})

LangChain hands metadata to `_generate`, but not to `_stream`; there it comes by a context variable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from langchain_core.runnables.config import var_child_runnable_config

from llm_optimization.wrapping.mishaps import mishap

if TYPE_CHECKING:
    from llm_optimization.config import OptimizationConfig

__all__ = [
    "KEY",
    "TAGS",
    "Labels",
    "aunder",
    "labelled",
    "labels_for",
    "labels_in",
    "named",
    "present_labels",
    "under",
]

TAGS: Final = "llm_ledger_tags"
KEY: Final = "llm_ledger_key"

Labels = Mapping[str, Any]
"""Those of the two names above that somebody gave."""

_Item = TypeVar("_Item")

_present: ContextVar[Labels | None] = ContextVar("llm_ledger_labels", default=None)


def labels_in(*sources: Any) -> Labels | None:
    """The labels in metadata, that of a later source before that of an earlier; None if there are none."""
    found: dict[str, Any] = {}
    for source in sources:
        if isinstance(source, Mapping) and (TAGS in source or KEY in source):
            found.update((name, source[name]) for name in (TAGS, KEY) if name in source)
    return found or None


def labels_for(config: Any, own: Any) -> Labels | None:
    """The labels of a call with this config: those it inherits, its own, then the model's, as LangChain has it."""
    inherited = var_child_runnable_config.get() or {}
    return labels_in(inherited.get("metadata"), (config or {}).get("metadata"), own)


def present_labels(run_manager: Any) -> Labels | None:
    """The labels of the call under way: what its run says, or what `under` set for it."""
    return labels_in(getattr(run_manager, "metadata", None)) or _present.get()


def named(labels: Labels | None, config: OptimizationConfig) -> tuple[str, Mapping[str, str]]:
    """The key and the tags to record a call under: its own before the model's."""
    if labels is None:
        return config.key, config.tags
    tags = labels.get(TAGS)
    if tags is not None and not isinstance(tags, Mapping):
        mishap(f"{TAGS} of a call are no mapping", TypeError())
        tags = None
    return str(labels.get(KEY) or config.key), {**config.tags, **(tags or {})}


@contextmanager
def labelled(run_manager: Any) -> Iterator[None]:
    """Within, what is called has the labels of this run."""
    labels = labels_in(getattr(run_manager, "metadata", None))
    if labels is None:
        yield
        return
    token = _present.set(labels)
    try:
        yield
    finally:
        _present.reset(token)


def under(labels: Labels, items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items, made under these labels. Between two of them the caller's context is as it was."""
    try:
        while True:
            token = _present.set(labels)
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                _present.reset(token)
            yield item
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


async def aunder(labels: Labels, items: Any) -> AsyncIterator[Any]:
    """`under`, for an asynchronous generator."""
    async with aclosing(items):
        while True:
            token = _present.set(labels)
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            finally:
                _present.reset(token)
            yield item

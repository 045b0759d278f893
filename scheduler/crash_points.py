"""Crash points around whatever goes over the network; see `ledger.crash_points`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from ledger.crash_points import SUBJECTS, reached
from scheduler.providers.base import BatchItem, BatchProvider

__all__ = ["with_crash_points"]


def with_crash_points(provider: BatchProvider) -> BatchProvider:
    """The same provider, with a point before and after each call that uses the network, however the call ends.

    `during` is after the first line of results or batches that is read, or after the first item that is sent.
    """
    return cast(BatchProvider, _WithPoints(provider))


class _WithPoints:
    """A wrapper by name instead of by method: what the protocol gains is passed on by itself."""

    def __init__(self, provider: BatchProvider) -> None:
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._provider, name)
        match name:
            case "create":
                return _creating(attribute)
            case "list_newer" | "results":
                return _reading(name, attribute)
            case _ if name in SUBJECTS:
                return _asking(name, attribute)
            case _:
                return attribute


def _asking(name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*args: Any, **options: Any) -> Any:
        reached(f"{name}.before")
        try:
            return ask(*args, **options)
        finally:
            reached(f"{name}.after")

    return asked


def _creating(create: Callable[..., Any]) -> Callable[..., Any]:
    def created(items: Callable[[], Iterable[BatchItem]], **options: Any) -> Any:
        return _asking("create", create)(lambda: _halfway("create", items()), **options)

    return created


def _reading(name: str, read: Callable[..., Iterable[Any]]) -> Callable[..., Iterator[Any]]:
    def lines(*args: Any) -> Iterator[Any]:
        reached(f"{name}.before")
        try:
            yield from _halfway(name, read(*args))
        finally:
            reached(f"{name}.after")

    return lines


def _halfway(name: str, values: Iterable[Any]) -> Iterator[Any]:
    for index, value in enumerate(values):
        yield value
        if not index:
            reached(f"{name}.during")

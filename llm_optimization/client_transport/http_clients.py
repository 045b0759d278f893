"""An HTTP client that is another one, but for what is done with requests that create messages.

The SDK hands every attempt of every call to `send` of the client that it was given, in all of its versions, and takes
any client of its HTTP library's class. So ours is of that class, and has the given client do everything: connections,
proxies, hooks, cookies and timeouts stay where they were.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

from llm_optimization.client_transport.attempt import Attempt, refuses_markers
from llm_optimization.client_transport.outgoing import outgoing
from llm_optimization.recording import FinishedCall
from llm_optimization.wrapping.mishaps import mishap
from llm_optimization.wrapping.optimization import Optimization

__all__ = ["observing"]


def observing(inner: Any, optimization: Optimization) -> Any:
    """A client of the HTTP library that `inner` belongs to, `httpx` or `httpx2`, sync or async like it.

    One that observes already is taken off first. `TypeError` for an object that is no such client.
    """
    if isinstance(inner, _Observing):
        inner = inner.inner
    for kind in type(inner).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in ("httpx", "httpx2") and kind.__name__ in ("Client", "AsyncClient"):
            made = _client_class(sys.modules[name], kind)(transport=None, trust_env=False)
            return made
    raise TypeError(f"{type(inner).__name__} is no HTTP client of httpx or httpx2")

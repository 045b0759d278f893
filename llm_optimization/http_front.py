"""HTTP clients that stand in front of others: everything is done by the one behind, but for what `send` adds.

The SDK hands every attempt of every call to `send` of the client that it was given, in all of its versions, and takes
any client of its HTTP library's class. So a front is of that class, and connections, proxies, hooks, cookies and
timeouts stay where they were.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["Front", "client_kind", "front_class"]


class Front:
    """What all fronts have in common. To be mixed with a client class of `library`, `httpx` or `httpx2`."""

    library: Any

    def __init__(self, inner: Any) -> None:
        # Its own transport is never used; without one, it would make one, and load certificates for it.
        super().__init__(  # type: ignore[call-arg]
            transport=self.library.MockTransport(lambda request: self.library.Response(501)),
            trust_env=False,
            timeout=inner.timeout,
            base_url=inner.base_url,
            follow_redirects=inner.follow_redirects,
        )
        self.inner = inner

    @property
    def is_closed(self) -> bool:
        """Whether the client behind is."""
        return bool(self.inner.is_closed)

    def build_request(self, *args: Any, **options: Any) -> Any:
        """A request as the client behind makes it."""
        return self.inner.build_request(*args, **options)

    def close(self) -> None:
        """Close the client behind."""
        self.inner.close()

    async def aclose(self) -> None:
        """Close the client behind."""
        await self.inner.aclose()


def client_kind(client: Any) -> type:
    """The library's own class that a client is of: `Client` or `AsyncClient`. `TypeError` for what is no client."""
    for kind in type(client).__mro__:
        if kind.__module__.partition(".")[0] in ("httpx", "httpx2") and kind.__name__ in ("Client", "AsyncClient"):
            return kind
    raise TypeError(f"{type(client).__name__} is no client of httpx or httpx2")


@cache
def front_class(kind: type, mixin: type, made: Callable[[Any], dict[str, Any]] = lambda _library: {}) -> Any:
    """The class of fronts that are `mixin` before a client of `kind`; `made` gives what else belongs in its body."""
    library = sys.modules[kind.__module__.partition(".")[0]]
    return type(kind.__name__, (mixin, kind), {"library": library, **made(library)})

"""What somebody has put in the place of methods of one client: tracers and guards, which must go on being asked.

Calls go to a copy of the client, which knows nothing of what was set on the object itself.
"""

from __future__ import annotations

from functools import cache
from inspect import isfunction
from typing import Any

__all__ = ["patched"]


def patched(client: Any) -> str | None:
    """The first thing that was replaced on an anthropic client, by name; None where it is the SDK's own.

    >>> import anthropic
    >>> client = anthropic.Anthropic(api_key="key")
    >>> patched(client)
    >>> client.messages.create = print
    >>> patched(client)
    'messages.create'
    """
    if not _is_sdks(client):
        return type(client).__name__
    own = vars(client)
    beta = own.get("beta")
    if beta is not None and not _is_sdks(beta):
        return "beta"
    found = _replaced("messages", own.get("messages"))
    return found or _replaced("beta.messages", None if beta is None else vars(beta).get("messages"))


def _replaced(path: str, resource: Any) -> str | None:
    if resource is None:  # nobody has asked for it yet
        return None
    if not _is_sdks(resource):
        return path
    for name, value in vars(resource).items():
        meant = getattr(type(resource), name, None)
        if isfunction(meant) or (meant is not None and not _is_sdks(value)):
            return f"{path}.{name}"
    return None


def _is_sdks(thing: Any) -> bool:
    kind: Any = type(thing)  # typeshed has a type for nothing that can be hashed
    return _comes_with_sdk(kind)


@cache
def _comes_with_sdk(kind: type) -> bool:
    return any(base.__module__.partition(".")[0] == "anthropic" for base in kind.__mro__)

"""Who is calling, and in which version of the API. Every key is an account of its own."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from uuid import UUID

from llm_ledger.simulator.errors import ApiError, invalid
from llm_ledger.simulator.validation import VERSIONS

__all__ = ["account_label", "authenticate", "organization_of", "read_version"]


def account_label(key: str) -> str:
    """The name of a key's account on the bill and in the log; it tells keys apart and reveals none."""
    return f"acct_{blake2b(key.encode(), digest_size=8).hexdigest()}"


def organization_of(account: str) -> str:
    """The id that answers to an account carry as `anthropic-organization-id`."""
    return str(UUID(bytes=blake2b(account.encode(), digest_size=16).digest(), version=4))


def authenticate(headers: Mapping[str, str], aliases: Mapping[str, str]) -> str:
    """The account of a request, by `X-Api-Key` or `Authorization: Bearer`.

    Raises ApiError 401 without a key, and for keys that begin with `invalid`.
    """
    key = headers.get("x-api-key", "").strip()
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if not key and scheme.lower() == "bearer":
        key = token.strip()
    if not key:
        raise ApiError(401, "x-api-key header is required")
    if key.startswith("invalid"):
        raise ApiError(401, "invalid x-api-key")
    return account_label(aliases.get(key, key))


def read_version(headers: Mapping[str, str]) -> str:
    """The `anthropic-version` of a request. Raises ApiError 400 for none or an unknown one."""
    version = headers.get("anthropic-version")
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    return version

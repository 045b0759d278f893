"""Whose project a model of Vertex AI runs in, and with which credentials."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any, Final

from llm_optimization.exceptions import ConfigurationError, MissingIntegration
from llm_optimization.models.entry import given, required

__all__ = ["credentialed"]

_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


def credentialed(provider: str, configuration: Mapping[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the credentials of `serviceAccountJson`, if the configuration has it.

    Without it Google's default credentials are looked for at the first call. The project may be the account's own.
    """
    account = given(configuration, "serviceAccountJson")
    if account is None or "credentials" in arguments:
        return {"project": required(provider, configuration, "project"), **arguments}
    credentials = _credentials(provider, account)
    return {"project": credentials.project_id, "credentials": credentials, **arguments}


def _credentials(provider: str, account: Any) -> Any:
    try:
        accounts = importlib.import_module("google.oauth2.service_account")
    except ImportError as missing:
        raise MissingIntegration(provider, "google-auth", "vertexai") from missing
    try:
        info = json.loads(account) if isinstance(account, str) else account
        return accounts.Credentials.from_service_account_info(info, scopes=_SCOPES)
    except (ValueError, TypeError, AttributeError):  # their texts may quote the key
        raise ConfigurationError(
            f"{provider}: serviceAccountJson is no key of a service account; paste the whole file that Google made"
        ) from None

"""APPLICATIONS: what an application imports. The LangChain wrapper and its parts will live here."""

from __future__ import annotations

__all__: list[str] = []

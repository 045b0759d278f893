"""LangChain's chat models from a host's configuration: one table for what is alike, a module for each that differs.

`recipes` says which class serves a provider and which of its arguments each key of the configuration becomes;
`entry` reads the configuration; `build` imports the class and makes the model; `origin` is the way back, from a
model to its provider. Nothing of LangChain is imported before a model is made.
"""

from __future__ import annotations

from llm_optimization.models.build import build
from llm_optimization.models.entry import chosen_model, configuration_of
from llm_optimization.models.origin import provider_of
from llm_optimization.models.recipes import PROVIDERS

__all__ = ["PROVIDERS", "build", "chosen_model", "configuration_of", "provider_of"]

"""The models on offer: their names, limits and quirks.

Names that people use without a date resolve to the dated snapshot, and answers carry the snapshot's name.
Cacheable minimums come from the provider's documentation. Those of Sonnet 5.5, Haiku 5.5, Fable and Mythos
5.1/5.2 are not published as far as we know: they get the value of their nearest relative, and
`SimulatorConfig.cache_minimums` overrides any of them.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["MODELS", "Model", "find_model", "model_page"]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model. Token limits in tokens.

    `sampling`: takes temperature, top_p and top_k under the older API version. `forced_tools`: takes
    `tool_choice` any and tool. `regional`: inference in the US costs a tenth more (from the 4.6 generation on).
    """

    id: str
    name: str
    line: str
    released: str
    cache_minimum: int
    aliases: tuple[str, ...] = ()
    context: int = 1_000_000
    max_output: int = 128_000
    sampling: bool = False
    forced_tools: bool = True
    regional: bool = True
    deprecated: bool = False


def _elder(**fields: Any) -> Model:
    return Model(**{"context": 200_000, "max_output": 64_000, "sampling": True, "regional": False, **fields})


def _retiring(**fields: Any) -> Model:
    return _elder(**{"cache_minimum": 1_024, "deprecated": True, **fields})


# Newest first, the order of the models endpoint.
_CATALOGUE = (
    Model(id="claude-fable-5-2", name="Claude Fable 5.2", line="fable", released="2026-10-28", cache_minimum=512),
    Model(
        id="claude-mythos-5-2",
        name="Claude Mythos 5.2",
        line="mythos",
        released="2026-10-28",
        cache_minimum=512,
    ),
    Model(
        id="claude-haiku-5-5",
        name="Claude Haiku 5.5",
        line="haiku",
        released="2026-10-14",
        cache_minimum=4_096,
    ),
    Model(
        id="claude-sonnet-5-5",
        name="Claude Sonnet 5.5",
        line="sonnet",
        released="2026-09-22",
        cache_minimum=1_024,
        forced_tools=False,
    ),
    Model(
        id="claude-fable-5-1",
        name="Claude Fable 5.1",
        line="fable",
        released="2026-09-08",
        cache_minimum=512,
        forced_tools=False,
    ),
    Model(
        id="claude-opus-5-5",
        name="Claude Opus 5.5",
        line="opus",
        released="2026-08-25",
        cache_minimum=512,
        forced_tools=False,
    ),
    Model(
        id="claude-sonnet-5",
        name="Claude Sonnet 5",
        line="sonnet",
        released="2026-06-30",
        cache_minimum=1_024,
    ),
    Model(id="claude-fable-5", name="Claude Fable 5", line="fable", released="2026-06-16", cache_minimum=512),
    Model(id="claude-opus-5", name="Claude Opus 5", line="opus", released="2026-06-02", cache_minimum=512),
    Model(id="claude-opus-4-8", name="Claude Opus 4.8", line="opus", released="2026-05-05", cache_minimum=1_024),
    Model(id="claude-opus-4-7", name="Claude Opus 4.7", line="opus", released="2026-04-14", cache_minimum=2_048),
    Model(
        id="claude-sonnet-4-6",
        name="Claude Sonnet 4.6",
        line="sonnet",
        released="2026-02-17",
        cache_minimum=1_024,
        sampling=True,
    ),
    Model(
        id="claude-opus-4-6",
        name="Claude Opus 4.6",
        line="opus",
        released="2026-02-04",
        cache_minimum=4_096,
        sampling=True,
    ),
    _elder(
        id="claude-opus-4-5-20251101",
        name="Claude Opus 4.5",
        line="opus",
        released="2025-11-24",
        cache_minimum=4_096,
        aliases=("claude-opus-4-5",),
    ),
    _elder(
        id="claude-haiku-4-5-20251001",
        name="Claude Haiku 4.5",
        line="haiku",
        released="2025-10-15",
        cache_minimum=4_096,
        aliases=("claude-haiku-4-5",),
    ),
    _retiring(
        id="claude-sonnet-4-5-20250929",
        name="Claude Sonnet 4.5",
        line="sonnet",
        released="2025-09-29",
        aliases=("claude-sonnet-4-5",),
    ),
    _retiring(
        id="claude-opus-4-1-20250805",
        name="Claude Opus 4.1",
        line="opus",
        released="2025-08-05",
        max_output=32_000,
        aliases=("claude-opus-4-1",),
    ),
    _retiring(
        id="claude-opus-4-20250514",
        name="Claude Opus 4",
        line="opus",
        released="2025-05-22",
        max_output=32_000,
        aliases=("claude-opus-4-0", "claude-opus-4"),
    ),
    _retiring(
        id="claude-sonnet-4-20250514",
        name="Claude Sonnet 4",
        line="sonnet",
        released="2025-05-22",
        aliases=("claude-sonnet-4-0", "claude-sonnet-4"),
    ),
    _retiring(
        id="claude-3-7-sonnet-20250219",
        name="Claude Sonnet 3.7",
        line="sonnet",
        released="2025-02-24",
        aliases=("claude-3-7-sonnet-latest",),
    ),
    _retiring(
        id="claude-3-5-sonnet-20241022",
        name="Claude Sonnet 3.5",
        line="sonnet",
        released="2024-10-22",
        max_output=8_192,
        aliases=("claude-3-5-sonnet-latest",),
    ),
)

MODELS: dict[str, Model] = {model.id: model for model in _CATALOGUE}
_BY_NAME = MODELS | {alias: model for model in _CATALOGUE for alias in model.aliases}


def find_model(name: str) -> Model | None:
    """The model of a name or alias; None for a name that is not on offer."""
    return _BY_NAME.get(name)


def model_page(model: Model) -> dict[str, Any]:
    """A model as the models endpoint shows it."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": f"{model.released}T00:00:00Z",
        "line": model.line,
        "lifecycle": "deprecated" if model.deprecated else "active",
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "capabilities": None,
    }

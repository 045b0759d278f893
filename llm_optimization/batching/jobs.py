"""One list of inputs on its way through a batch: every input gets its own answer, in its own place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ledger.errors import InvalidRequest
from llm_optimization.batching.lines import Line, Names
from llm_optimization.batching.outcomes import Outcome
from llm_optimization.batching.translation import Translator

__all__ = ["Job"]


class _Place(msgspec.Struct, frozen=True):
    """Where an input went. The answer to a mapping of params stays the provider's own (`raw`)."""

    custom_id: str
    raw: bool


class Job(msgspec.Struct, frozen=True):
    """The inputs in order. `lines` are to be submitted; `refused` are the outcomes of those that are none."""

    places: tuple[_Place, ...]
    lines: tuple[Line, ...]
    refused: dict[str, Outcome]

    @classmethod
    def of(cls, items: Iterable[Any], translator: Translator) -> Job:
        """The job of these inputs. Raises `ConfigurationError` where there is no model to translate them."""
        names = Names()
        places: list[_Place] = []
        lines: list[Line] = []
        refused: dict[str, Outcome] = {}
        for number, item in enumerate(items):
            try:
                line = names.line(translator.params(item))
                custom_id = line.custom_id
                lines.append(line)
            except InvalidRequest as error:
                custom_id = f"input-{number}"
                refused[custom_id] = Outcome(custom_id, "errored", None, "invalid_request_error", str(error))
            places.append(_Place(custom_id, isinstance(item, Mapping)))
        return cls(tuple(places), tuple(lines), refused)

    @classmethod
    def on_record(cls, custom_ids: Iterable[str], *, raw: bool) -> Job:
        """The job of requests that are on record, of whose inputs nothing else is known."""
        places = tuple(_Place(custom_id, raw) for custom_id in custom_ids)
        return cls(places, (), {})

    def without(self, refused: Mapping[str, Outcome]) -> Job:
        """The same job, some lines of which were found to be invalid."""
        return msgspec.structs.replace(self, refused={**self.refused, **refused}) if refused else self

    @property
    def awaited(self) -> list[str]:
        """Custom ids of what has to be waited for."""
        return [place.custom_id for place in self.places if place.custom_id not in self.refused]

    def replies(self, outcomes: Mapping[str, Outcome], translator: Translator) -> list[Any]:
        """What each input gets: LangChain's message, the provider's for a mapping of params, or `BatchItemFailed`."""
        known = {**outcomes, **self.refused}
        return [_reply(known[place.custom_id], translator, raw=place.raw) for place in self.places]


def _reply(outcome: Outcome, translator: Translator, *, raw: bool) -> Any:
    if outcome.message is None:
        return outcome.failure
    return outcome.message if raw else translator.reply(outcome.message, beta=outcome.beta)

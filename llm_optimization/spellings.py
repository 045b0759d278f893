"""How a host's configuration spells settings, and which values they may have.

A host stores JSON typed by people: every sensible spelling is taken, and everything that is wrong is named at once.
What is not among these settings is left where it is: no key, no address of the host's gets in here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ledger.backends import open_database
from ledger.errors import ConfigurationError, DatabaseUnusable, InputError
from ledger.settings import LedgerSettings
from llm_optimization.exceptions import InvalidOptimizationConfig
from scheduler.intake import check_key, check_tags
from scheduler.providers.anthropic.limits import LIMITS

__all__ = ["SETTINGS", "Given", "Setting", "given", "refuse_problems"]

TTLS: Final = (300, 3_600)
DAY: Final = 86_400

_log = logging.getLogger("llm_optimization")


class Given(NamedTuple):
    """A setting as it stands in an entry."""

    spelling: str
    value: Any


class Setting(NamedTuple):
    """How a setting is spelled, what a spelling of its value means, and whether that is a usable one.

    `read` raises nothing, and gives back what it does not understand; `check` raises `InputError`.
    """

    spelling: str
    read: Callable[[Any], Any]
    check: Callable[[Any], object]


def given(source: Any) -> dict[str, Given]:
    """What an entry says, by field. Raises `InvalidOptimizationConfig` for what is no entry."""
    if not isinstance(source, Mapping):
        raise InvalidOptimizationConfig([f"they must be an object, here is {type(source).__name__}"])
    nested = source.get("configuration")
    if nested is not None and not isinstance(nested, Mapping):
        raise InvalidOptimizationConfig(["configuration: must be an object"])
    found: dict[str, Given] = {}
    for place in (nested or {}, source):
        for spelling, value in place.items():
            if not isinstance(spelling, str):
                continue
            name = _FIELDS.get(_plain(spelling))
            if name is None:
                _doubt(spelling)
            elif value is not None and _text(value) != "":
                found.setdefault(name, Given(spelling, value))
    return found


def refuse_problems(config: object, spellings: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raises `InvalidOptimizationConfig`, which names every problem, under the field's spelling if it has one."""
    problems: list[str] = []
    for name, setting in SETTINGS.items():
        try:
            setting.check(getattr(config, name))
        except InputError as problem:
            problems.append(f"{spellings.get(name, name)}: {problem}")
    if problems:
        raise InvalidOptimizationConfig(problems)


@lru_cache(maxsize=256)
def _doubt(spelling: str) -> None:
    """Say, once, that a name which is nearly a setting's is left alone: its owner believes that something is on.

    Names of less than eight letters are too much like a host's own (`models`, `tag`).
    """
    plain = _plain(spelling)
    if len(plain) >= 8 and (near := get_close_matches(plain, _FIELDS, n=1, cutoff=0.85)):
        meant = SETTINGS[_FIELDS[near[0]]].spelling
        _log.warning("optimization settings: %s is ignored; is %s meant?", _shown(spelling), meant)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


# --- reading: from what a person typed to the value meant ---------------------------------------------------------

_WHOLE: Final = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_DURATION: Final = re.compile(r"(\d{1,15})\s*([smh]?)", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600}
_WORDS: Final = {"true": True, "false": False}


def _flag(value: Any) -> Any:
    return _WORDS.get(value.strip().lower(), value) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _seconds(value: Any) -> Any:
    if isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        return int(found[1]) * _UNITS[found[2].lower()]
    return _number(value)


def _word(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _recording(value: Any) -> Any:
    """`off` is false in YAML, and whoever writes true means that calls are recorded."""
    value = _flag(value)
    return {True: "behind", False: "off"}[value] if isinstance(value, bool) else _word(value)


def _text(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _first(value: Any) -> Any:
    """The first of several names with commas between them."""
    return next(filter(None, map(str.strip, value.split(","))), None) if isinstance(value, str) else value


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


# --- checking: what a value may be --------------------------------------------------------------------------------


def _is_flag(value: Any) -> None:
    if not isinstance(value, bool):
        raise InputError(f"{_shown(value)} is not true or false")


def _within(least: int, most: int | None = None) -> Callable[[Any], None]:
    usable = f"from {least:,} to {most:,}" if most is not None else f"of at least {least:,}"

    def check(value: Any) -> None:
        if not _is_number(value) or value < least or (most is not None and value > most):
            raise InputError(f"{_shown(value)} is not a whole number {usable}")

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_ttl(value: Any) -> None:
    if not _is_number(value) or value not in TTLS:
        raise InputError(f"{_shown(value)} is not 300 (5m) or 3600 (1h) seconds")


def _one_of(*words: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if value not in words:
            raise InputError(f"{_shown(value)} is not one of {', '.join(words)}")

    return check


def _is_text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{_shown(value)} is not text")
    return value


def _is_model(value: Any) -> None:
    if value is not None:
        _is_text(value)


def _is_key(value: Any) -> None:
    check_key(_is_text(value))


def _are_tags(value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise InputError("must be an object whose values are strings")
    check_tags(value)


def _is_ledger(value: Any) -> None:
    if value is not None:
        _opens(value if isinstance(value, str) else "no URL")


@lru_cache(maxsize=16)
def _opens(url: str) -> None:
    """Raises `InputError`, in which nothing of the URL is shown: it may hold a password."""
    try:
        kept = LedgerSettings.from_env({"LLM_LEDGER_DATABASE_URL": url})
        open_database(kept.database_url).close()  # connects to nothing
    except DatabaseUnusable as error:
        raise InputError(str(error)) from None
    except ConfigurationError:
        raise InputError(
            "is no ledger's URL; write sqlite:///FILE, or postgresql+psycopg://USER@HOST/NAME "
            "with llm-ledger[postgres] installed"
        ) from None


# `key` has no other spelling in an entry: under that name a host may well keep a credential.
SETTINGS: Final = {
    "optimization_enabled": Setting("optimizationEnabled", _flag, _is_flag),
    "batching_enabled": Setting("batchingEnabled", _flag, _is_flag),
    "batch_max_size": Setting("batchMaxSize", _number, _within(1, LIMITS.max_items)),
    "batch_timeout": Setting("batchTimeout", _seconds, _within(0, DAY)),
    "caching_enabled": Setting("cachingEnabled", _flag, _is_flag),
    "cache_ttl": Setting("cacheTTL", _seconds, _is_ttl),
    "cache_breakpoints": Setting("cacheBreakpoints", _word, _one_of("auto", "manual", "none")),
    "fallback_to_standard": Setting("fallbackToStandard", _flag, _is_flag),
    "recording": Setting("recording", _recording, _one_of("behind", "sync", "off")),
    "database_url": Setting("databaseUrl", _text, _is_ledger),
    "key": Setting("ledgerKey", _text, _is_key),
    "tags": Setting("tags", _copied, _are_tags),
    "model": Setting("model", _first, _is_model),
    "max_tokens": Setting("maxTokens", _number, _within(1)),
}

_FIELDS: Final = {_plain(setting.spelling): name for name, setting in SETTINGS.items()}

"""The quick check for repeated keys says what reading every pair would say."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.codec import DuplicateKey, parse_json

# Spellings inside quotation marks: colons plain and escaped, what looks like a member, one letter in two spellings.
PIECES = [
    "a",
    "b",
    ":",
    r"\u003a",
    r"\u003A",
    r"\u0061",
    r"\"",
    r"\\",
    r"\/",
    r"\n",
    ":1",
    r"\":",
    r"\\u003a",
    "ä",
    " ",
]
SPACE = st.sampled_from(["", " ", "\n\t"])

spelt_strings = st.lists(st.sampled_from(PIECES), max_size=3).map(lambda pieces: f'"{"".join(pieces)}"')
spelt_numbers = st.sampled_from(["0", "-0", "-0.0", "1e2", "0.1", "123456789012345678901", "9007199254740993.0"])
spelt_leaves = spelt_strings | spelt_numbers | st.sampled_from(["null", "true", "{}", "[]"])


def _objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(spelt_strings, SPACE, SPACE, inner).map(lambda parts: "{}{}:{}{}".format(*parts))
    return st.lists(member, max_size=4).map(lambda members: "{" + ", ".join(members) + "}")


def _lists(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]")


texts = st.recursive(spelt_leaves, lambda inner: _objects(inner) | _lists(inner), max_leaves=12)


def repeats_a_key(text: str) -> bool:
    """The slow way: every pair is looked at."""
    found = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=look)
    return found


@given(texts)
@example(r'{"a": ":", "a": 1}')
@example(r'{"a": 1, "a": "\u003a"}')
@example(r'{"\u003a": 1, ":": 2}')
@example(r'[{"a": {"b": {}, "b": {}}}, "::"]')
def test_a_text_is_refused_exactly_if_a_key_repeats(text: str) -> None:
    if repeats_a_key(text):
        with pytest.raises(DuplicateKey):
            parse_json(text.encode())
    else:
        assert repr(parse_json(text.encode())) == repr(json.loads(text))


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text())
def test_values_are_those_of_the_standard_reader(value: float | int | str) -> None:
    for text in (json.dumps({"v": value}), json.dumps({"v": value}, ensure_ascii=False)):
        assert repr(parse_json(text.encode())) == repr(json.loads(text))


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_numbers_are_those_of_the_standard_reader_or_out_of_range(text: str) -> None:
    try:
        value = parse_json(text.encode())
    except ValueError:
        assert json.loads(text) in (float("inf"), float("-inf"))
    else:
        assert repr(value) == repr(json.loads(text))


@given(texts)
def test_a_plain_text_is_read_once(text: str) -> None:
    """The premise: what was read, spelt again, holds every colon of a text that escapes none."""
    if r"\u003" not in text and not repeats_a_key(text):
        assert text.count(":") == msgspec.json.encode(json.loads(text)).count(b":")

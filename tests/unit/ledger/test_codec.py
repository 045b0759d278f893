"""Bytes and hashes of events, and JSON from outside."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.codec import (
    GENESIS,
    Columns,
    DuplicateKey,
    body_hash,
    canonical_json,
    chain_hash,
    decode_data,
    encode_data,
    parse_json,
)
from ledger.errors import LedgerCorrupt
from ledger.events import ConfigRejected, RequestAbandoned, RequestCostUnknown

COLUMNS: Columns = (7, "request/a", 3, b"e" * 16, "request.expired", 1, 10, 20, b"c" * 16, b"d" * 16)
BODY = sha256(b"body").digest()
CHANGED: list[Columns] = [
    (8, *COLUMNS[1:]),
    (*COLUMNS[:1], "request/b", *COLUMNS[2:]),
    (*COLUMNS[:2], 4, *COLUMNS[3:]),
    (*COLUMNS[:3], b"E" * 16, *COLUMNS[4:]),
    (*COLUMNS[:4], "request.canceled", *COLUMNS[5:]),
    (*COLUMNS[:5], 2, *COLUMNS[6:]),
    (*COLUMNS[:6], 11, *COLUMNS[7:]),
    (*COLUMNS[:7], 21, *COLUMNS[8:]),
    (*COLUMNS[:8], b"C" * 16, *COLUMNS[9:]),
    (*COLUMNS[:8], None, *COLUMNS[9:]),
    (*COLUMNS[:9], b"D" * 16),
    (*COLUMNS[:9], None),
    (*COLUMNS[:8], COLUMNS[9], COLUMNS[8]),
    # Widths: what one column loses, the next one gains.
    (*COLUMNS[:1], "request/", 3, b"a" + b"e" * 16, *COLUMNS[4:]),
    (*COLUMNS[:8], b"c" * 15, b"c" + b"d" * 16),
    (*COLUMNS[:6], -10, *COLUMNS[7:]),
]


def test_the_chain_covers_every_column() -> None:
    hashes = [chain_hash(GENESIS, columns, BODY) for columns in [COLUMNS, *CHANGED]]
    assert len(set(hashes)) == len(hashes)
    assert {len(digest) for digest in hashes} == {32}


def test_the_chain_covers_the_body_and_the_hash_before() -> None:
    assert chain_hash(GENESIS, COLUMNS, BODY) == chain_hash(GENESIS, COLUMNS, BODY)
    assert chain_hash(GENESIS, COLUMNS, BODY) != chain_hash(BODY, COLUMNS, BODY)
    assert chain_hash(GENESIS, COLUMNS, BODY) != chain_hash(GENESIS, COLUMNS, GENESIS)


def test_the_hashes_are_these_for_ever() -> None:
    """Stored ledgers depend on them."""
    assert body_hash("a.b", 1, b"{}").hex() == sha256(b"\0\x01\0\0\0\x03\0\0\0\x02a.b{}").hexdigest()
    fixed = (7).to_bytes(8) + (3).to_bytes(4) + (1).to_bytes(2) + (10).to_bytes(8) + (20).to_bytes(8)
    parts = [b"request/a", b"e" * 16, b"request.expired", b"c" * 16, b"d" * 16]
    lengths = b"".join(len(part).to_bytes(4) for part in parts)
    expected = sha256(GENESIS + fixed + lengths + b"".join(parts) + BODY)
    assert chain_hash(GENESIS, COLUMNS, BODY) == expected.digest()


@given(st.tuples(st.text(max_size=5), st.integers(0, 3), st.binary(max_size=5)), st.data())
def test_a_body_hash_covers_type_version_and_data(said: tuple[str, int, bytes], data: st.DataObject) -> None:
    other = data.draw(st.tuples(st.text(max_size=5), st.integers(0, 3), st.binary(max_size=5)))
    assert (body_hash(*said) == body_hash(*other)) == (said == other)


# --- bodies of events ----------------------------------------------------------------------------------------


def test_an_events_fields_stand_in_the_catalogues_order() -> None:
    assert encode_data(RequestAbandoned(reason="x", attempts=2)) == b'{"reason":"x","attempts":2}'
    assert encode_data(ConfigRejected(problems=("ä", "\n"))) == '{"problems":["ä","\\n"]}'.encode()


def test_a_body_is_read_from_text_as_from_bytes() -> None:
    expected = RequestCostUnknown(reason="x")
    assert decode_data("request.cost_unknown", 1, '{"reason":"x"}') == expected
    assert decode_data("request.cost_unknown", 1, b'{"reason":"x"}') == expected


def test_fields_that_a_later_release_added_are_passed_over() -> None:
    assert decode_data("request.cost_unknown", 1, b'{"reason":"x","new":[1]}') == RequestCostUnknown(reason="x")


@pytest.mark.parametrize(
    ("event_type", "version"),
    [("request.teleported", 1), ("request.teleported", 2), ("request.cost_unknown", 2)],
)
def test_an_event_of_a_later_release_says_so(event_type: str, version: int) -> None:
    with pytest.raises(LedgerCorrupt, match=f"{event_type} version {version} is from a newer llm-ledger; upgrade"):
        decode_data(event_type, version, b'{"reason":"x"}')


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"reason":1}'])
def test_a_body_that_is_none_is_corrupt(data: bytes) -> None:
    with pytest.raises(LedgerCorrupt, match=r"body of a request\.cost_unknown event cannot be read"):
        decode_data("request.cost_unknown", 1, data)


# --- JSON from outside ---------------------------------------------------------------------------------------

REFUSED: dict[bytes, str] = {
    b"": "not valid JSON",
    b"{": "not valid JSON",
    b"{} {}": "trailing characters",
    b"{'a': 1}": "not valid JSON",
    b"NaN": "not valid JSON",
    b"[1, Infinity]": "not valid JSON",
    b'{"a": -Infinity}': "not valid JSON",
    b"1e999": "out of range",
    b"1" * 5000: "out of range",
    b"\xef\xbb\xbf{}": "byte order mark",
    '{"a": "ä"}'.encode("latin-1"): "byte 7 is not UTF-8",
    b'{"a": "\xed\xa0\x80"}': "byte 7 is not UTF-8",
    '{"a": 1}'.encode("utf-16"): "byte 0 is not UTF-8",
    rb'{"a": "\ud800"}': "lone surrogate",
    rb'{"\udc00": 1}': "lone surrogate",
    rb'{"a": "\ud800': "not valid JSON",
    b"[" * 100_000: "nested too deeply",
    b'{"a": 1, "b": 2, "a": 3}': "key 'a' appears twice",
    b'[{"a": {"b": 1, "b": 1}}]': "key 'b' appears twice",
    rb'{"a": 1, "\u0061": 2}': "key 'a' appears twice",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=[repr(text[:24]) for text in REFUSED])
def test_what_readers_would_disagree_on_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        parse_json(text)
    assert "\n" not in str(refusal.value)


def test_a_duplicate_key_has_its_own_error() -> None:
    with pytest.raises(DuplicateKey):
        parse_json(b'{"a": 1, "a": 1}')


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_everything_else_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False, indent=1).encode()) == value


@given(st.binary(max_size=40))
def test_whatever_comes_it_is_read_or_refused(text: bytes) -> None:
    try:
        value = parse_json(text)
    except ValueError:
        return
    assert value == json.loads(text)


@given(json_values)
def test_canonical_json_is_one_spelling(value: Any) -> None:
    spelling = canonical_json(value)
    assert msgspec.json.decode(spelling) == value
    assert canonical_json(parse_json(spelling)) == spelling


def test_canonical_json_sorts_and_has_no_white_space() -> None:
    assert canonical_json({"b": [1, {"z": 1, "a": None}], "a": "ä"}) == '{"a":"ä","b":[1,{"a":null,"z":1}]}'.encode()
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})

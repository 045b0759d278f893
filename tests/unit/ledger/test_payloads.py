"""Bodies come back byte for byte, shared blocks are stored once, and what was altered is noticed."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from ledger import Ledger, NewEvent, schema
from ledger.errors import LedgerCorrupt
from ledger.events import ConfigRejected
from ledger.payloads import SHARED_FROM, EncodedPayload, PayloadPurged, encode_payload, read_payloads
from tests.support.clock import NOON, seeded_ids
from tests.support.ledgers import bare_ledger, rows_of

ids = seeded_ids()
PROMPT = "You are a patient teacher. " * 100


def keep(ledger: Ledger, *payloads: EncodedPayload) -> None:
    """Bodies are stored with an event."""
    stream = f"config/{ids.new()}"
    ledger.append([NewEvent(stream, 1, ConfigRejected(problems=()), ids.new(), NOON)], payloads=payloads)


def params(question: str, system: Any = PROMPT, **more: Any) -> bytes:
    return json.dumps(
        {"model": "m", "system": system, "messages": [{"role": "user", "content": question}], **more}
    ).encode()


def stored(ledger: Ledger) -> int:
    return len(rows_of(ledger.database, "payloads"))


# --- round trip ----------------------------------------------------------------------------------------------

raw_json = st.sampled_from(
    [b'"' + b"long " * 300 + b'"', b"[1, 2.50,1e2]", b'{"a" : [ ]}', b'"\xc3\xa4\\u00e4"', b"null"]
)
messages = st.lists(raw_json, max_size=4).map(lambda values: b"[" + b" ,".join(values) + b"]")
members = st.lists(
    st.tuples(st.sampled_from([b'"system"', b'"tools"', b'"other"']), raw_json)
    | st.tuples(st.just(b'"messages"'), messages),
    max_size=5,
)
requests = members.map(lambda pairs: b"{ " + b",\n".join(name + b" : " + value for name, value in pairs) + b"}")


@settings(max_examples=40)
@given(st.lists(st.tuples(requests | st.binary(max_size=3000), st.booleans()), max_size=5))
def test_any_bytes_come_back(bodies: list[tuple[bytes, bool]]) -> None:
    with bare_ledger() as ledger:
        payloads = [encode_payload(body, shared=shared) for body, shared in bodies]
        keep(ledger, *payloads)
        for payload, (body, _) in zip(payloads, bodies, strict=True):
            assert payload.digest == sha256(body).digest()
            assert payload.size == len(body)
            assert ledger.payload(payload.digest) == body
        with ledger.read() as connection:
            found = read_payloads(connection, [payload.digest for payload in payloads])
        assert found == {sha256(body).digest(): body for body, _ in bodies}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00" * 5000,
        b'{"x":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"system":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"system": "' + b"a" * 2000,
        b'{"system": 5, "messages": "none", "tools": {}}',
        b'{"messages": [' + b'"' + b"b" * 1500 + b'",' * 1 + b'"' + b"b" * 1500 + b'"]}',
        b'{"system": [' + b'"' + b"c" * 1500 + b'"], "messages": ["' + b"c" * 1500 + b'"]}',
    ],
    ids=["empty", "zeros", "deep", "deep system", "cut off", "other types", "one block twice", "block in a block"],
)
def test_what_is_no_usual_request_comes_back_too(ledger: Ledger, body: bytes) -> None:
    payload = encode_payload(body, shared=True)
    keep(ledger, payload)
    assert ledger.payload(payload.digest) == body


# --- shared blocks -------------------------------------------------------------------------------------------


def test_a_shared_prompt_is_stored_once(ledger: Ledger) -> None:
    bodies = [params(f"question {at}") for at in range(20)]
    keep(ledger, *(encode_payload(body, shared=True) for body in bodies))
    assert stored(ledger) == 21
    assert len(rows_of(ledger.database, "payload_blocks")) == 20
    assert {len(row["content"]) < 300 for row in rows_of(ledger.database, "payloads")} == {True}
    with ledger.read() as connection:
        found = read_payloads(connection, [sha256(body).digest() for body in bodies])
    assert list(found.values()) == bodies


def test_tools_and_long_messages_are_shared_as_well(ledger: Ledger) -> None:
    tools = [{"name": "search", "description": PROMPT}]
    long = params("a long question " * 100, tools=tools)
    asked = {"role": "user", "content": "a long question " * 100}
    other = params("", tools=tools, messages=[asked, {"role": "assistant", "content": "a short answer"}])
    keep(ledger, encode_payload(other, shared=True))
    before = stored(ledger)
    keep(ledger, encode_payload(params("", tools=tools, messages=[asked, {"role": "assistant"}]), shared=True))
    after = stored(ledger)
    keep(ledger, encode_payload(long, shared=True))
    # The last message of a request is not looked at: it is what tells it from the others.
    assert (before, after, stored(ledger)) == (4, 5, 6)
    assert ledger.payload(sha256(other).digest()) == other
    assert ledger.payload(sha256(long).digest()) == long


def test_small_blocks_stay_where_they_are(ledger: Ledger) -> None:
    fits = params("q", system="x" * (SHARED_FROM - 2))
    below = params("q", system="x" * (SHARED_FROM - 3))
    assert len(encode_payload(fits, shared=True).blocks) == 1
    assert encode_payload(below, shared=True).blocks == ()
    assert encode_payload(fits).blocks == ()


def test_a_block_may_be_a_body_of_its_own(ledger: Ledger) -> None:
    """A body that lies in parts, and another one that holds it as its system prompt, in both orders."""
    inner = params("q")
    outer = b'{"system": ' + inner + b"}"
    keep(ledger, encode_payload(inner, shared=True))
    keep(ledger, encode_payload(outer, shared=True))
    assert ledger.payload(sha256(outer).digest()) == outer
    assert ledger.payload(sha256(inner).digest()) == inner
    with bare_ledger() as other:
        keep(other, encode_payload(outer, shared=True))
        keep(other, encode_payload(inner, shared=True))
        assert other.payload(sha256(outer).digest()) == outer
        assert other.payload(sha256(inner).digest()) == inner


def test_more_bodies_than_one_question_takes(ledger: Ledger) -> None:
    bodies = [b"%d" % at for at in range(1100)]
    keep(ledger, *map(encode_payload, bodies))
    with ledger.read() as connection:
        assert list(read_payloads(connection, [sha256(body).digest() for body in bodies]).values()) == bodies


# --- gone, or altered ----------------------------------------------------------------------------------------


def test_a_body_that_is_not_kept_says_so(ledger: Ledger) -> None:
    digest = sha256(b"never stored").digest()
    with pytest.raises(PayloadPurged, match=digest.hex()[:16]) as purged:
        ledger.payload(digest)
    assert purged.value.digest == digest


def test_a_body_without_its_block_is_corrupt(ledger: Ledger) -> None:
    payload = encode_payload(params("q"), shared=True)
    keep(ledger, payload)
    with ledger.database.write() as connection:
        connection.execute(delete(schema.payloads).where(schema.payloads.c.hash == payload.rows[0][0]))
    with pytest.raises(LedgerCorrupt, match=f"lacks its block {payload.rows[0][0].hex()[:16]}"):
        ledger.payload(payload.digest)


def alter(ledger: Ledger, digest: bytes, **values: Any) -> None:
    with ledger.database.write() as connection:
        connection.execute(update(schema.payloads).where(schema.payloads.c.hash == digest).values(**values))


def read_or_refused(ledger: Ledger, digest: bytes) -> bytes | str:
    try:
        return ledger.payload(digest)
    except LedgerCorrupt as error:
        return str(error)


@pytest.mark.parametrize("shared", [False, True], ids=["whole", "in parts"])
def test_every_altered_byte_is_noticed(ledger: Ledger, shared: bool) -> None:
    body = params("q")
    payload = encode_payload(body, shared=shared)
    keep(ledger, payload)
    for digest, _size, _encoding, content in payload.rows:
        answers = set()
        for at in range(0, len(content), 3):
            alter(ledger, digest, content=content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
            answers.add(read_or_refused(ledger, payload.digest))
        # A compressed frame may carry bits that decide nothing; then the body is what it was.
        refusals = [answer for answer in answers - {body} if isinstance(answer, str)]
        assert answers <= {body, *refusals}
        assert refusals
        assert all("does not match its hash" in line or "lacks its block" in line for line in refusals)
        alter(ledger, digest, content=content)
    assert ledger.payload(payload.digest) == body


@pytest.mark.parametrize("content", [b"", b"not compressed", b"\xc1", b"\x28\xb5\x2f\xfd"])
@pytest.mark.parametrize("encoding", [0, 1, 2, 3])
def test_other_content_is_noticed(ledger: Ledger, content: bytes, encoding: int) -> None:
    payload = encode_payload(b"body " * 100)
    keep(ledger, payload)
    alter(ledger, payload.digest, content=content, encoding=encoding)
    with pytest.raises(LedgerCorrupt, match=f"{payload.digest.hex()[:16]}… does not match its hash"):
        ledger.payload(payload.digest)

"""Anchors kept elsewhere: what only they can show, and files that hold none."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from ledger import Ledger, schema
from ledger.anchors import Anchor, KeptAnchor, anchor_head, read_anchors
from ledger.codec import GENESIS, body_hash, chain_hash
from ledger.errors import InputError, LedgerCorrupt
from ledger.rebuild import rebuild
from ledger.verify import verify
from tests.support.history import History
from tests.support.ledgers import bare_ledger
from tests.support.mixed import mixed_history
from tests.support.tampering import make_log_writable

EVENTS, HEAD = schema.events, schema.ledger_head


@pytest.fixture
def whole(ledger: Ledger, history: History) -> Ledger:
    ledger.append(mixed_history(history).take())
    make_log_writable(ledger.database)
    return ledger


def anchored(ledger: Ledger, file: Path | None = None) -> Anchor:
    return anchor_head(ledger.database, ledger.clock.now(), file)


def problems(ledger: Ledger, *anchors: Anchor) -> tuple[str, ...]:
    kept = [KeptAnchor(f"anchors, line {number}", anchor) for number, anchor in enumerate(anchors, start=1)]
    return verify(ledger.database, anchors=kept).problems


def run(ledger: Ledger, *statements: Any) -> None:
    with ledger.database.write() as connection:
        for statement in statements:
            connection.execute(statement)


def noted(ledger: Ledger) -> list[tuple[int, bytes]]:
    with ledger.read() as connection:
        return [(row.position, row.hash) for row in connection.execute(select(schema.anchors))]


def rewrite(ledger: Ledger, position: int, **values: Any) -> None:
    """Change a row as somebody would who can compute hashes: everything after it, the head and the rest follow."""
    run(ledger, update(EVENTS).where(EVENTS.c.position == position).values(**values))
    with ledger.database.write() as connection:
        previous = GENESIS
        for row in connection.execute(select(EVENTS).order_by(EVENTS.c.position)).all():
            body = body_hash(row.type, row.schema_version, row.data.encode())
            previous = chain_hash(previous, tuple(row)[:-3], body)  # type: ignore[arg-type]
            here = update(EVENTS).where(EVENTS.c.position == row.position)
            connection.execute(here.values(body_hash=body, hash=previous))
        connection.execute(update(HEAD).values(hash=previous))
        connection.execute(delete(schema.anchors))
    rebuild(ledger.database)


def cut(ledger: Ledger, events: int) -> None:
    """Remove the last events, and every trace of them."""
    position = ledger.head().position - events
    with ledger.database.write() as connection:
        connection.execute(delete(EVENTS).where(EVENTS.c.position > position))
        tip = connection.scalar(select(EVENTS.c.hash).where(EVENTS.c.position == position))
        connection.execute(update(HEAD).values(position=position, hash=tip))
        connection.execute(delete(schema.anchors))
    rebuild(ledger.database)


# --- anchoring -----------------------------------------------------------------------------------------------


def test_an_anchor_names_the_ledger_and_its_end(whole: Ledger) -> None:
    first, head = next(whole.events()), whole.head()
    anchor = anchored(whole)
    assert anchor == Anchor(
        ledger=first.hash.hex(), position=head.position, hash=head.hash.hex(), exported_at=whole.clock.now()
    )
    assert noted(whole) == [(head.position, head.hash)]
    assert problems(whole, anchor) == ()


def test_the_same_end_can_be_anchored_twice(whole: Ledger, clock: Any) -> None:
    anchor = anchored(whole)
    clock.advance(60)
    again = anchored(whole)
    assert again.exported_at - anchor.exported_at == timedelta(seconds=60)
    assert again.hash == anchor.hash
    assert len(noted(whole)) == 1


def test_anchors_stay_true_while_the_log_grows(whole: Ledger, history: History) -> None:
    anchors = []
    for _ in range(3):
        anchors.append(anchored(whole))
        history.configure()
        whole.append(history.take())
    assert problems(whole, *anchors) == ()


def test_an_empty_ledger_has_nothing_to_anchor() -> None:
    with bare_ledger() as ledger, pytest.raises(InputError, match="the ledger is empty"):
        anchored(ledger)


@pytest.mark.parametrize(
    "change",
    [update(HEAD).values(hash=b"x" * 32), update(HEAD).values(position=9), delete(HEAD)],
    ids=["hash", "position", "missing"],
)
def test_a_head_that_is_not_the_end_of_the_log_is_not_anchored(whole: Ledger, change: Any) -> None:
    run(whole, change)
    with pytest.raises(LedgerCorrupt, match="llm-ledger verify"):
        anchored(whole)
    assert noted(whole) == []


# --- what they show ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [1, 2, 30])
def test_last_events_that_are_gone_without_a_trace_are_missed_by_their_anchor(whole: Ledger, events: int) -> None:
    anchor = anchored(whole)
    cut(whole, events)
    assert problems(whole) == ()
    assert problems(whole, anchor) == (f"anchors, line 1: event {anchor.position} was anchored, and is gone",)


@pytest.mark.parametrize("back", [0, 1, 20])
def test_a_log_made_anew_from_some_event_on_is_found(whole: Ledger, back: int) -> None:
    anchor = anchored(whole)
    rewrite(whole, anchor.position - back, occurred_at=1)
    assert problems(whole) == ()
    assert problems(whole, anchor) == (f"anchors, line 1: event {anchor.position} is not the one that was anchored",)


def test_a_log_made_anew_from_its_first_event_on_is_found(whole: Ledger) -> None:
    anchor = anchored(whole)
    rewrite(whole, 1, occurred_at=1)
    assert problems(whole) == ()
    assert problems(whole, anchor) == ("anchors, line 1: event 1 is not that of the ledger that was anchored",)


def test_events_cut_off_and_others_put_there_are_found(whole: Ledger, history: History) -> None:
    anchor = anchored(whole)
    row = whole.head().position
    with whole.read() as connection:
        stream, version = connection.execute(
            select(EVENTS.c.stream_id, EVENTS.c.version).where(EVENTS.c.position == row)
        ).one()
    cut(whole, 1)
    history.starts_after(stream, version - 1)
    history.configure()
    history.configure()
    whole.append(history.take())
    assert problems(whole) == ()
    assert problems(whole, anchor) == (f"anchors, line 1: event {anchor.position} is not the one that was anchored",)


def test_every_anchor_that_is_not_borne_out_is_told_in_a_line_of_its_own(whole: Ledger, history: History) -> None:
    anchors = [anchored(whole)]
    for _ in range(3):
        history.configure()
        whole.append(history.take())
        anchors.append(anchored(whole))
    cut(whole, 2)
    assert [line.partition(":")[0] for line in problems(whole, *anchors)] == ["anchors, line 3", "anchors, line 4"]


def test_the_ledgers_own_anchors_find_a_careless_cut(whole: Ledger) -> None:
    position = anchored(whole).position
    with whole.read() as connection:
        kept = connection.execute(select(schema.anchors)).one()._mapping
    cut(whole, 1)
    run(whole, insert(schema.anchors).values(**kept))
    assert problems(whole) == (f"event {position} is not the one that was anchored",)
    with pytest.raises(LedgerCorrupt, match=f"event {position} is not the one that was anchored; run `llm-ledger"):
        anchored(whole)


def test_anchors_are_told_even_where_the_log_contradicts_itself(whole: Ledger) -> None:
    anchor = anchored(whole)
    run(whole, delete(EVENTS).where(EVENTS.c.position == anchor.position))
    found = problems(whole, anchor)
    assert f"anchors, line 1: event {anchor.position} was anchored, and is gone" in found
    assert any("the head says" in line for line in found)


# --- files ---------------------------------------------------------------------------------------------------


def test_a_file_of_anchors_grows_by_a_line(whole: Ledger, history: History, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    first = anchored(whole, file)
    history.configure()
    whole.append(history.take())
    second = anchored(whole, file)
    assert [json.loads(line)["position"] for line in file.read_text().splitlines()] == [
        first.position,
        second.position,
    ]
    kept = read_anchors(file)
    assert [one.anchor for one in kept] == [first, second]
    assert kept[1].where == f"{file}, line 2"
    assert verify(whole.database, anchors=kept).sound
    assert [path.name for path in tmp_path.iterdir()] == ["anchors.jsonl"]


def test_a_link_to_a_file_stays_one(whole: Ledger, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    anchored(whole, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(read_anchors(tmp_path / "file")) == 1


def test_a_file_of_another_ledger_is_left_alone(whole: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    anchored(whole, file)
    before = file.read_bytes()
    with bare_ledger() as other:
        history = History()
        history.configure("other")
        other.append(history.take())
        with pytest.raises(InputError, match=r"line 1: it anchors another ledger; name another file"):
            anchored(other, file)
        assert noted(other) == []
        kept = verify(other.database, anchors=read_anchors(file)).problems
    assert kept == (f"{file}, line 1: event 1 is not that of the ledger that was anchored",)
    assert file.read_bytes() == before


def test_a_log_that_contradicts_the_file_is_not_anchored_in_it(whole: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    anchored(whole, file)
    before = file.read_bytes()
    cut(whole, 1)
    with pytest.raises(LedgerCorrupt, match="was anchored, and is gone; run `llm-ledger verify`"):
        anchored(whole, file)
    assert file.read_bytes() == before
    assert noted(whole) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no anchor"),
        (b"\n \n", "holds no anchor"),
        (b"{}", "line 1: is no anchor: Object missing required field `ledger`"),
        (b"\n{", "line 2: is no anchor: Input data was truncated"),
        (b"[1]", "line 1: is no anchor: Expected `object`"),
        (b"\xff\xfe", "line 1: is no anchor"),
        (b"[" * 100_000, "line 1: is no anchor"),
        (b"{GOOD}\n{GOOD}x", "line 2: is no anchor"),
        (
            b'{"ledger":"00","position":1,"hash":"00","exported_at":"2026-11-22T12:00:00Z"}',
            "line 1: .*`ledger`|line 1",
        ),
    ],
)
def test_a_file_that_holds_no_anchors_says_where(
    whole: Ledger, tmp_path: Path, content: bytes, complaint: str
) -> None:
    file = tmp_path / "anchors.jsonl"
    anchored(whole, file)
    good = file.read_bytes().strip()
    file.write_bytes(content.replace(b"{GOOD}", good))
    with pytest.raises(InputError, match=complaint) as error:
        read_anchors(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position", 0),
        ("position", 2**63),
        ("position", "7"),
        ("hash", "F" * 64),
        ("exported_at", "2026-11-22T12:00:00"),
    ],
)
def test_fields_that_no_anchor_has_are_refused(whole: Ledger, tmp_path: Path, field: str, value: Any) -> None:
    file = tmp_path / "anchors.jsonl"
    anchored(whole, file)
    file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))
    with pytest.raises(InputError, match=rf"line 1: is no anchor: .*{field}|line 1: is no anchor: Expected"):
        anchored(whole, file)


def test_files_that_cannot_be_used_are_told(whole: Ledger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_anchors(tmp_path / "none")
    with pytest.raises(InputError, match="is not a file"):
        anchored(whole, tmp_path)
    with pytest.raises(InputError, match=r"No such file or directory; nothing was anchored"):
        anchored(whole, tmp_path / "no" / "folder")
    assert noted(whole) == []


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    with file.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(InputError, match="too large"):
        read_anchors(file)

"""The spool: nothing in it is lost, nothing is taken in twice, and nothing that is no record goes unnoticed."""

from __future__ import annotations

import os
import stat
import zlib
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from ledger import Ledger, NewEvent
from ledger.errors import ConfigurationError, DatabaseUnusable, LedgerCorrupt
from ledger.events import ConfigChanged
from ledger.intake import Intake, take_in
from ledger.payloads import encode_payload
from ledger.settings import DEFAULT_SPOOL_BYTES, SpoolSettings
from ledger.spool import Spool, decode_record, encode_record, spool_base, spool_files
from tests.support.clock import NOON, seeded_ids
from tests.support.databases import shared_url
from tests.support.interrupted import Interrupted

ids = seeded_ids(seed=3)


def note(stream: str, version: int = 1, text: str = "", correlation: UUID | None = None) -> NewEvent:
    body = ConfigChanged(version=text, config=msgspec.Raw(b'{"b":1e2,  "a":1.0}'))
    return NewEvent(f"config/{stream}", version, body, ids.new(), NOON - timedelta(microseconds=1), correlation)


def record(*events: NewEvent) -> bytes:
    return encode_record(events, ())


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "ledger.db", max_bytes=1_000_000, ids=ids)


def spooled(spool: Spool, *records: bytes) -> Path:
    """A file whose process is gone."""
    path = spool.path
    for one in records:
        spool.append(one)
    spool.close()
    return path


def streams(ledger: Ledger) -> list[str]:
    return [event.stream_id for event in ledger.events() if event.type == "config.changed"]


# --- records -------------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_went_in() -> None:
    events = [note("ä/½", 1, "🙂\x00", ids.new()), note("b", 7)]
    payload = encode_payload(b'{"system":"%b","messages":[]}' % (b"x" * 2000), shared=True)
    found, payloads = decode_record(encode_record(events, [payload]))
    assert found == events
    assert payloads == (payload,)


@pytest.mark.parametrize("line", [b"", b"\n", b"no record\n", b"00000000 {}\n", record(note("a"))[:-3] + b'"}\n'])
def test_another_line_is_none(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"the checksum is wrong|malformed|missing"):
        decode_record(line)


def test_an_event_of_a_later_release_is_not_guessed_at() -> None:
    content = record(note("a"))[9:-1].replace(b"config.changed", b"config.enhanced")
    with pytest.raises(LedgerCorrupt, match=r"config\.enhanced"):
        decode_record(b"%08x %b\n" % (zlib.crc32(content), content))


# --- the file ------------------------------------------------------------------------------------------------


def test_nobody_else_may_read_it_and_it_is_made_when_needed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "state" / "ledger", max_bytes=1000)
    spool.sync()
    spool.close()
    assert not (tmp_path / "state").exists()
    spool.append(b"x\n")
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.path.parent.stat().st_mode) == 0o700
    assert spool.path.name.startswith("ledger.spool-")


def test_all_spools_of_a_ledger_share_its_room(tmp_path: Path) -> None:
    first, second = (Spool(tmp_path / "ledger.db", max_bytes=10) for _ in range(2))
    first.append(b"123456\n")
    with pytest.raises(OSError, match="holds its 10 bytes"):
        first.append(b"1234\n")
    with pytest.raises(OSError, match="LLM_LEDGER_SPOOL_BYTES"):
        second.append(b"1234\n")
    first.append(b"12\n")
    assert first.path.read_bytes() == b"123456\n12\n"
    path = second.path
    second.close()
    assert not path.exists()


def test_a_record_that_is_not_written_whole_is_taken_away(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append(record(note("a")))
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, content: write(file, content[:7]) if len(content) > 30 else full())

    def full() -> int:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        spool.append(record(note("b")))
    monkeypatch.undo()
    spool.append(record(note("c")))
    lines = spool.path.read_bytes().splitlines(keepends=True)
    assert [decode_record(line)[0][0].stream_id for line in lines] == ["config/a", "config/c"]


# --- where it lies -------------------------------------------------------------------------------------------


def test_it_lies_beside_a_file_and_for_postgres_in_the_users_folder(tmp_path: Path) -> None:
    settings = SpoolSettings(tmp_path / "state")
    assert spool_base(f"sqlite:///{tmp_path}/my.db", settings) == tmp_path.resolve() / "my.db"
    assert spool_base("sqlite://", settings) is None
    base = spool_base("postgresql+psycopg://me:secret@db/spend", settings)
    assert base is not None
    assert base.parent == tmp_path / "state"
    assert base.name.startswith("spend-")
    assert base == spool_base("postgresql://you:***@db/spend", settings)
    assert base != spool_base("postgresql://me@other/spend", settings)


def test_a_folder_of_ones_own_keeps_ledgers_apart(tmp_path: Path) -> None:
    settings = SpoolSettings(tmp_path / "state", tmp_path / "mine")
    bases = [spool_base(f"sqlite:///{tmp_path}/{name}/my.db", settings) for name in ("a", "b")]
    assert len(set(bases)) == 2
    assert {base.parent for base in bases if base} == {tmp_path / "mine"}


def test_settings_come_from_the_environment() -> None:
    settings = SpoolSettings.from_env({"HOME": "/home/me"})
    expected = SpoolSettings(Path("/home/me/.local/state/llm-ledger"), None, DEFAULT_SPOOL_BYTES)
    assert settings == expected
    given = {"XDG_STATE_HOME": "/s", "LLM_LEDGER_SPOOL": "/mine", "LLM_LEDGER_SPOOL_BYTES": "1000"}
    assert SpoolSettings.from_env(given) == SpoolSettings(Path("/s/llm-ledger"), Path("/mine"), 1000)
    with pytest.raises(ConfigurationError, match="LLM_LEDGER_SPOOL_BYTES=1 GB is not a number of bytes"):
        SpoolSettings.from_env({"LLM_LEDGER_SPOOL_BYTES": "1 GB"})


# --- taking in -----------------------------------------------------------------------------------------------


def test_what_was_spooled_is_there_at_the_next_start(tmp_path: Path) -> None:
    url = shared_url(tmp_path)
    Ledger.open(url).close()
    spool = Spool.at(url, SpoolSettings.from_env())
    assert spool is not None
    payload = encode_payload(b"a body")
    events = [note("a", 1), note("a", 2), note("b", 1)]
    spool.append(encode_record(events[:2], [payload]))
    spool.append(encode_record(events[2:], []))
    path = spool.path
    spool.close()
    with Ledger.open(url) as ledger:
        found = list(ledger.events(after=1))
        assert [(one.event_id, one.occurred_at) for one in found] == [
            (one.event_id, one.occurred_at) for one in events
        ]
        assert [one.data for one in found] == [one.data for one in events]
        assert ledger.payload(payload.digest) == b"a body"
    assert not path.exists()


def test_twice_does_no_harm(ledger: Ledger, spool: Spool) -> None:
    path = spooled(spool, *(record(note(name)) for name in "abc"))
    content = path.read_bytes()
    assert take_in(ledger, spool.base) == Intake(taken=3)
    path.write_bytes(content)  # it stopped after the commit
    assert take_in(ledger, spool.base) == Intake(taken=3)
    assert streams(ledger) == ["config/a", "config/b", "config/c"]
    assert spool_files(spool.base) == []


def test_what_is_still_held_stays(ledger: Ledger, spool: Spool) -> None:
    spool.append(record(note("a")))
    assert take_in(ledger, spool.base) == Intake()
    assert spool_files(spool.base) == [spool.path]
    spool.close()
    assert take_in(ledger, spool.base) == Intake(taken=1)


def test_a_torn_end_is_counted(ledger: Ledger, spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    path = spooled(spool, record(note("a")), record(note("b")))
    path.write_bytes(path.read_bytes()[:-5])
    assert take_in(ledger, spool.base) == Intake(taken=1, torn=1)
    assert streams(ledger) == ["config/a"]
    assert "ended within a record" in caplog.text


def test_foreign_lines_and_conflicts_are_set_aside(
    ledger: Ledger, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    late = record(note("late", 5))
    path = spooled(spool, record(note("a")), b"what is this\n", late, record(note("b")))
    assert take_in(ledger, spool.base) == Intake(taken=2, rejected=2)
    assert streams(ledger) == ["config/a", "config/b"]
    rejected = path.with_name(f"{path.name}.rejected")
    lines = rejected.read_bytes().splitlines(keepends=True)
    assert lines[0] == b"# the checksum is wrong\n"
    assert lines[1] == b"what is this\n"
    assert lines[2].startswith(b"# config/late: expected 5 as next version")
    assert lines[3] == late
    assert stat.S_IMODE(rejected.stat().st_mode) == 0o600
    assert caplog.text.count(f"set aside in {rejected}") == 2
    assert take_in(ledger, spool.base) == Intake()
    # Once the reason is gone, it may be given back under its old name.
    ledger.append([note("late", version) for version in range(1, 5)])
    path.write_bytes(b"".join(lines[2:]))
    assert take_in(ledger, spool.base) == Intake(taken=1)


def test_a_file_stays_while_the_database_cannot_be_used(
    ledger: Ledger, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    path = spooled(spool, record(note("a")))

    def down() -> None:
        raise DatabaseUnusable("the server is away")

    assert take_in(Interrupted(ledger, "append_all", down), spool.base) == Intake(left=1)  # type: ignore[arg-type]
    assert f"{path} is kept, and taken in at another start: the server is away" in caplog.text
    assert take_in(ledger, spool.base) == Intake(taken=1)


def test_a_file_that_is_none_of_ours_stays(ledger: Ledger, spool: Spool) -> None:
    others = [
        spool.base.with_name(f"ledger.db{end}") for end in (".spool-old", "-2.spool-x", f".spool-{ids.new()}.bak")
    ]
    for path in others:
        path.write_bytes(b"x\n")
    assert take_in(ledger, spool.base) == Intake()
    assert all(path.exists() for path in others)
    assert take_in(ledger, spool.base.parent / "nowhere" / "x") == Intake()
    assert take_in(ledger, None) == Intake()


def test_many_are_taken_in_in_their_order(ledger: Ledger, spool: Spool) -> None:
    spooled(spool, *(record(note("a", version)) for version in range(1, 701)))
    spooled(spool, *(record(note("a", version)) for version in range(701, 711)))
    assert take_in(ledger, spool.base) == Intake(taken=710)
    assert [event.version for event in ledger.events(stream="config/a")] == list(range(1, 711))

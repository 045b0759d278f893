"""Requests come in: checked whole, recorded whole, byte for byte; or nothing of it."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import pytest

from ledger.errors import ChangedRequest, InputError, InvalidLine
from ledger.events import RequestRecorded
from scheduler import Intake, Submission
from scheduler.providers.anthropic import AnthropicRules
from tests.support.fake_rules import FakeRules
from tests.support.interrupted import Interrupted
from tests.support.world import World

GOOD = b'{"max_tokens":16,"temperature":1.50}'


def line(custom_id: str = "a", params: bytes = GOOD, **more: Any) -> bytes:
    rest = b"".join(
        b",%s:%s" % (json.dumps(name).encode(), json.dumps(value).encode()) for name, value in more.items()
    )
    return b'{"custom_id":"%s","params":%s%s}\n' % (custom_id.encode(), params, rest)


def submit(world: World, *lines: bytes, **options: Any) -> Submission:
    return Intake(world.ledger, FakeRules(), **options).submit(lines)


def body_of(world: World, number: int = 0) -> bytes:
    return world.ledger.payload(world.requests()[number].payload)


def test_a_file_is_recorded(world: World) -> None:
    assert submit(world, line("a"), line("b")) == Submission(2, 2, 0)
    first, second = world.requests()
    assert (first.custom_id, second.custom_id) == ("a", "b")
    assert (first.key, first.status, first.size, first.max_tokens) == ("default", "queued", len(GOOD), 16)


@pytest.mark.parametrize(
    "params",
    [
        GOOD,
        b'{ "z" : 1e2,\t"a":-0.0, "max_tokens": 16 , "text":"\\u00e9\xc3\xa9"}',
        b'{"max_tokens":16,"big":12345678901234567890123,"deep":[[[{"b":1,"a":2}]]]}',
    ],
)
def test_what_will_be_sent_is_what_was_given(world: World, params: bytes) -> None:
    submit(world, line(params=params))
    assert body_of(world) == params


def test_what_can_be_read_may_still_be_nested_too_deeply_to_be_checked(world: World) -> None:
    block: dict[str, Any] = {"type": "text", "text": "hello"}
    for _ in range(300 if sys.version_info < (3, 12) else 700):  # a level takes fewer frames since then
        block = {"type": "text", "text": "hello", "content": [block]}
    params = {
        "model": "m",
        "max_tokens": 1,
        "betas": ["yet-unknown"],
        "messages": [{"role": "user", "content": [block]}],
    }
    with pytest.raises(InvalidLine, match="line 1: nested too deeply"):
        Intake(world.ledger, AnthropicRules()).submit([line(params=json.dumps(params).encode())])


def test_blank_lines_are_no_requests_but_count_as_lines(world: World) -> None:
    assert submit(world, b"\n", line("a"), b"  \t\n", line("b"), b"") == Submission(2, 2, 0)
    with pytest.raises(InvalidLine, match=r"^line 3: "):
        submit(world, b"\n", b"\n", b"{")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "not valid JSON"),
        (b'{"custom_id":"a","params":{"max_tokens":16}} x', "not valid JSON"),
        (b"[]", "must be an object with custom_id, params"),
        (b'"text"', "object"),
        (b"null", "object"),
        (b'{"custom_id":"a"}', '"params" is missing'),
        (b'{"params":{"max_tokens":16}}', '"custom_id" is missing'),
        (b'{"custom_id":7,"params":{"max_tokens":16}}', "custom_id must be a string"),
        (line(method="POST"), '"method" is no field of a request line; use custom_id, params, tags'),
        (b'{"custom_id":"a","custom_id":"a","params":{"max_tokens":16}}', "'custom_id' appears twice"),
        (line(params=b'{"max_tokens":16,"x":{"k":1,"k":1}}'), "'k' appears twice"),
        (line(params=b'{"max_tokens":NaN}'), "not valid JSON"),
        (line(params=b'{"max_tokens":16,"x":Infinity}'), "not valid JSON"),
        (line(params=b'{"max_tokens":16,"x":"\\ud800"}'), "lone surrogate"),
        (line(params=b'{"max_tokens":16,"x":"\xff"}'), "not"),
        (b"\xef\xbb\xbf" + line(), "byte order mark"),
        (line(params=b"[" * 100_000), "nested too deeply"),
        (line(params=b"[]"), "params: must be an object"),
        (line(params=b"7"), "params: must be an object"),
        (line(params=b"null"), "params: must be an object"),
        (line(params=b"{}"), "params.max_tokens: must be a whole number"),
        (line(params=b'{"max_tokens":1,"refuse":true}'), "params: these are refused"),
        (line(""), "custom_id must be"),
        (line("x" * 65), "custom_id must be"),
        (line("a b"), "custom_id must be"),
        (line("a\\n"), "custom_id must be"),
        (line("\u00e9"), "custom_id must be"),
        (line(tags={"a": 1}), "tags must be an object whose values are strings"),
        (line(tags=["a"]), "tags must be an object whose values are strings"),
        (line(tags={"": "x"}), "tag ''"),
        (line(tags={"n" * 65: "x"}), "tag 'nnn"),
        (line(tags={"n": "x" * 257}), "tag 'n'"),
        (line(tags={"n": "a\u0000b"}), "tag 'n'"),
        (line(tags={"n\n": "b"}), "tag 'n"),
        (line(tags={str(number): "x" for number in range(9)}), "at most 8 tags"),
        (line(params=b'{"max_tokens":16,"x":"%s"}' % (b"x" * 1_000_000)), "do not fit into any batch"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_recorded(world: World, bad: bytes, reason: str) -> None:
    head = world.ledger.head()
    with pytest.raises(InvalidLine) as caught:
        submit(world, line("first"), bad)
    assert caught.value.line == 2
    assert str(caught.value).startswith("line 2: ")
    assert reason in str(caught.value)
    assert world.ledger.head() == head


def test_a_custom_id_twice_names_both_lines(world: World) -> None:
    with pytest.raises(InvalidLine, match=r"^line 4: custom_id 'a' stands in line 2 already$"):
        submit(world, line("b"), line("a"), b"\n", line("a"))
    assert world.requests() == []


def test_the_longest_custom_id_and_every_character_are_taken(world: World) -> None:
    names = ["x" * 64, "azAZ09_-"]
    submit(world, *map(line, names))
    assert [row.custom_id for row in world.requests()] == names


def test_nothing_is_recorded_when_the_last_of_many_lines_is_bad(world: World) -> None:
    lines = [line(f"r{number}") for number in range(2_499)]
    with pytest.raises(InvalidLine, match=r"^line 2500: "):
        submit(world, *lines, line("r0"))
    with pytest.raises(InvalidLine, match=r"^line 2500: "):
        submit(world, *lines, b"{}")
    assert world.requests() == []


def test_the_same_file_again_records_nothing(world: World) -> None:
    lines = [line(f"r{number}") for number in range(1_100)]
    assert submit(world, *lines) == Submission(1_100, 1_100, 0)
    head = world.ledger.head()
    assert submit(world, *lines) == Submission(1_100, 0, 1_100)
    assert world.ledger.head() == head


def test_of_a_longer_file_only_the_new_lines_are_recorded(world: World) -> None:
    submit(world, line("a"), line("b"))
    assert submit(world, line("n"), line("a"), line("b"), line("o")) == Submission(4, 2, 2)
    assert [row.custom_id for row in world.requests()] == ["a", "b", "n", "o"]


def test_other_params_under_a_known_identity_are_refused_whole(world: World) -> None:
    submit(world, line("a"), line("b"))
    head = world.ledger.head()
    with pytest.raises(ChangedRequest) as caught:
        submit(world, line("new"), b"\n", line("b", b'{"max_tokens":17}'))
    assert (caught.value.key, caught.value.custom_id, caught.value.line) == ("default", "b", 3)
    assert str(caught.value).startswith("line 3: ")
    assert world.ledger.head() == head


def test_a_change_far_behind_new_lines_records_none_of_them(world: World) -> None:
    submit(world, line("a"))
    with pytest.raises(ChangedRequest, match=r"^line 1501: "):
        submit(world, *[line(f"r{number}") for number in range(1_500)], line("a", b'{"max_tokens":17}'))
    assert len(world.requests()) == 1


def test_another_spelling_of_the_same_params_is_the_same_request(world: World) -> None:
    submit(world, line("a", b'{"max_tokens":16,"x":{"k":1.5,"l":"\xc3\xa9"}}'))
    again = b'{ "x" : {"l":"\\u00e9", "k":15e-1}, "max_tokens":16 }'
    assert submit(world, line("a", again)) == Submission(1, 0, 1)


def test_another_key_is_another_identity(world: World) -> None:
    submit(world, line("a"))
    assert submit(world, line("a", b'{"max_tokens":17}'), key="evening") == Submission(1, 1, 0)
    assert [(row.key, row.custom_id) for row in world.requests()] == [("default", "a"), ("evening", "a")]


@pytest.mark.parametrize("key", ["", "k" * 201, "a\nb", "\x00", "\x7f", "\udc80"])
def test_an_unusable_key_is_refused(world: World, key: str) -> None:
    with pytest.raises(InputError, match="a key is"):
        Intake(world.ledger, FakeRules(), key=key)


def test_the_longest_key_is_taken(world: World) -> None:
    submit(world, line("a"), key="k" * 200)
    assert world.requests()[0].key == "k" * 200


def test_tags_of_the_line_win_over_those_of_the_file(world: World) -> None:
    submit(world, line(tags={"team": "b", "run": "7"}), line("b"), tags={"team": "a", "env": "test"})
    first, second = world.recorded(RequestRecorded)
    assert first.tags == {"team": "b", "env": "test", "run": "7"}
    assert second.tags == {"team": "a", "env": "test"}


def test_eight_tags_are_taken_together_and_nine_are_not(world: World) -> None:
    four = {f"f{number}": "x" for number in range(4)}
    submit(world, line(tags={f"l{number}": "x" * 256 for number in range(4)}), tags=four)
    with pytest.raises(InvalidLine, match="at most 8 tags, here are 9"):
        submit(world, line("b", tags={f"l{number}": "x" for number in range(5)}), tags=four)


@pytest.mark.parametrize("tags", [{"a": "\x1b[31m"}, {"": "x"}, {"a": "\udc80"}, dict.fromkeys("abcdefghi", "x")])
def test_unusable_tags_of_the_file_are_refused_at_once(world: World, tags: dict[str, str]) -> None:
    with pytest.raises(InputError):
        Intake(world.ledger, FakeRules(), tags=tags)


def test_a_model_replaces_that_of_every_line_and_nothing_else(world: World) -> None:
    submit(
        world,
        line("a", b'{ "max_tokens": 16, "model": "x", "n": 1.0 }'),
        line("b", b'{"max_tokens":16}'),
        model="claude-haiku-4-5",
    )
    assert body_of(world, 0) == b'{"max_tokens":16,"model":"claude-haiku-4-5","n":1.0}'
    assert body_of(world, 1) == b'{"max_tokens":16,"model":"claude-haiku-4-5"}'
    assert {row.model for row in world.requests()} == {"claude-haiku-4-5"}
    with pytest.raises(ChangedRequest):
        submit(world, line("b", b'{"max_tokens":16}'))


def test_betas_leave_the_body_and_every_other_byte_stays(world: World) -> None:
    params = b'{"z": 1e2 ,"betas":["two","one"],"a":{ "k" : 1.50 , "j":[ ] },"max_tokens":16}'
    submit(world, line("a", params))
    (recorded,) = world.recorded(RequestRecorded)
    assert recorded.betas == ("one", "two")
    assert body_of(world) == b'{"z":1e2,"a":{ "k" : 1.50 , "j":[ ] },"max_tokens":16}'
    assert submit(world, line("a", params)) == Submission(1, 0, 1)
    with pytest.raises(ChangedRequest):
        submit(world, line("a", params.replace(b'"two",', b"")))


def test_progress_passes_every_line_twice(world: World) -> None:
    told: list[int] = []
    lines = [line(f"r{number}") for number in range(2_001)]
    Intake(world.ledger, FakeRules()).submit(lines, progress=told.append)
    assert told == [2_000, 1, 2_000, 1]
    told.clear()
    Intake(world.ledger, FakeRules()).submit([*lines, line("new")], progress=told.append)
    assert told == [2_000, 2, 2_001, 1]


def test_a_page_is_bounded_by_its_bytes_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.pages.PAGE_BYTES", 1_000)
    told: list[int] = []
    lines = [line(f"r{number}", b'{"max_tokens":16,"x":"%s"}' % (b"x" * 400)) for number in range(7)]
    assert Intake(world.ledger, FakeRules()).submit(lines, progress=told.append) == Submission(7, 7, 0)
    assert told == [3, 3, 1, 3, 3, 1]


def test_somebody_records_the_same_lines_in_between(world: World) -> None:
    lines = [line("a"), line("b"), line("c")]

    def other(_lines: int) -> None:
        submit(world, line("b"))

    assert Intake(world.ledger, FakeRules()).submit(lines, progress=other) == Submission(3, 2, 1)
    assert sorted(row.custom_id for row in world.requests()) == ["a", "b", "c"]


def test_somebody_records_one_of_the_lines_at_the_same_moment(world: World) -> None:
    ledger: Any = Interrupted(world.ledger, "append", lambda: submit(world, line("b")))
    assert Intake(ledger, FakeRules()).submit([line("a"), line("b")]) == Submission(2, 1, 1)
    assert [row.custom_id for row in world.requests()] == ["b", "a"]


def test_two_that_submit_one_file_at_once_record_each_request_once(shared_world: World) -> None:
    lines = [line(f"r{number}") for number in range(2_200)]
    start = threading.Barrier(2)
    told: list[Submission] = []

    def one() -> None:
        start.wait()
        told.append(submit(shared_world, *lines))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 2
    assert sum(each.recorded for each in told) == 2_200
    assert len({row.custom_id for row in shared_world.requests()}) == 2_200
    assert len(shared_world.requests()) == 2_200


def test_who_wants_to_hear_of_bad_lines_has_the_others_recorded(world: World) -> None:
    told: list[InvalidLine] = []
    lines = [line("a"), b"\n", line("b", b"{}"), b"{", line("c")]
    assert Intake(world.ledger, FakeRules()).submit(lines, refused=told.append) == Submission(2, 2, 0)
    assert [row.custom_id for row in world.requests()] == ["a", "c"]
    assert [error.line for error in told] == [3, 4]
    with pytest.raises(ChangedRequest):  # what is wrong beside others is nobody's alone
        Intake(world.ledger, FakeRules()).submit([line("a", b'{"max_tokens":1}')], refused=told.append)

"""Faults of content: results and counts that arrive whole and are wrong, each for one reading."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from llm_ledger.simulator import RunningSimulator

Json = dict[str, Any]
Build = Callable[..., Json]


@pytest.fixture
def path(simulator: RunningSimulator, post_batch: Build, item: Build) -> str:
    batch = post_batch(*(item(f"q{index}") for index in range(4)))
    simulator.advance(60)
    return f"/v1/messages/batches/{batch['id']}"


@pytest.fixture
def read(simulator: RunningSimulator, http: httpx2.Client, path: str) -> Callable[..., bytes]:
    """The results as a fault shows them; none by default."""

    def read(kind: str | None = None, **fields: Any) -> bytes:
        if kind:
            simulator.fault(endpoint="batches.results", kind=kind, **fields)
        answer = http.get(f"{path}/results")
        assert answer.status_code == 200
        return answer.content

    return read


def ids(content: bytes) -> list[str]:
    return [json.loads(line)["custom_id"] for line in content.splitlines()]


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("nul", b'"result":{\x00"'),
        ("nul_escaped", b'"id":"\\u0000msg_'),
        ("nan", b":NaN,"),
        ("invalid_utf8", b'"\xff\xfe"'),
        ("duplicate_key", b'{"type":"canceled","type":"succeeded"'),
        ("deep", b"[" * 100_000 + b"]" * 100_000),
    ],
)
def test_the_syntax_of_a_line(read: Callable[..., bytes], kind: str, sign: bytes) -> None:
    well = read().split(b"\n")
    spoiled = read(kind, line=2).split(b"\n")
    assert sign in spoiled[2]
    assert (spoiled[:2], spoiled[3:]) == (well[:2], well[3:])
    assert read().split(b"\n") == well


def test_a_line_that_is_huge(simulator: RunningSimulator, http: httpx2.Client, path: str) -> None:
    simulator.fault(endpoint="batches.results", kind="huge_line", line=1)
    size, longest = 0, 0
    with http.stream("GET", f"{path}/results") as answer:
        for piece in answer.iter_raw():
            size += len(piece)
            longest = max(longest, len(piece))
    assert size > 100_000_000
    assert longest < 2_000_000


def test_the_file_as_a_whole(read: Callable[..., bytes]) -> None:
    well = read()
    assert read("bom") == b"\xef\xbb\xbf" + well
    assert read("crlf") == well.replace(b"\n", b"\r\n")
    blank = read("empty_lines")
    assert (blank.count(b"\n") > 8, [line for line in blank.split() if line]) == (True, well.split())


def test_which_lines_there_are(read: Callable[..., bytes]) -> None:
    well = ids(read())
    assert ids(read("missing", line=1, lines=2)) == [well[0], well[3]]
    assert ids(read("missing", line=5)) == [well[0], *well[2:]]
    assert ids(read("duplicated", line=3)) == [*well, well[3]]
    assert ids(read("foreign")) == [well[0], "stranger-0", *well[1:]]
    assert ids(read("shuffled")) == well[::-1]
    assert ids(read()) == well


@pytest.mark.parametrize("off_by", [1, -2])
def test_counts_that_do_not_add_up(simulator: RunningSimulator, http: httpx2.Client, path: str, off_by: int) -> None:
    for endpoint, address in (("batches.retrieve", path), ("batches.list", path.rpartition("/")[0])):
        simulator.fault(endpoint=endpoint, kind="wrong_counts", off_by=off_by)
        shown = [http.get(address).json() for _ in range(2)]
        wrong, right = (one["data"][0] if "data" in one else one for one in shown)
        assert wrong["request_counts"].pop("succeeded") == 4 + off_by
        assert right["request_counts"].pop("succeeded") == 4
        assert wrong == right


def test_the_bill_knows_nothing_of_it(simulator: RunningSimulator, read: Callable[..., bytes]) -> None:
    before = simulator.bill()
    for kind in ("missing", "duplicated", "foreign", "nan"):
        read(kind)
    assert simulator.bill() == before

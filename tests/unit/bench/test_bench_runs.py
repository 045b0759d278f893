"""The whole benchmark at a size that says nothing about speed: that it runs, stores and tells."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from bench import append, concurrent, end_to_end
from bench.__main__ import main
from bench.alone import alone
from bench.append import LOADER
from bench.results import Results

LEDGERS = "append,concurrent,reads,sizes,rates"
TINY = [
    "--database",
    "sqlite",
    "--events",
    "12",
    "--size",
    "40",
    "--requests",
    "6",
    "--rounds",
    "1",
    "--samples",
    "2",
]


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each measurement takes longer to start than to measure so little."""
    for module in (append, concurrent):
        monkeypatch.setattr(module, "alone", lambda measure, task: measure(task))


@pytest.mark.usefixtures("_in_this_process")
def test_every_part_of_a_ledger_is_measured_and_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "figures.md"

    assert main([*TINY, "--only", LEDGERS, "--write", str(target), "--keep", str(tmp_path / "kept")]) == 0

    results = Results.load(target.with_suffix(".json"))
    assert [row.per_list for row in results.append["sqlite"].rows] == [LOADER, None]
    assert {row.side for row in results.concurrent["sqlite"].rows} == {"ours", "driver", "peer"}
    assert all(row.p50 <= row.p95 and row.samples == 2 for row in results.reads["sqlite"].rows)
    assert results.sizes["sqlite"].rows[-1].bytes == (tmp_path / "kept" / "filled_44.db").stat().st_size
    assert {"verify", "rebuild"} <= {row.what for row in results.rates["sqlite"].rows}
    assert "Bulk append" in capsys.readouterr().out
    page = target.read_text(encoding="utf-8")
    assert "| request by id |" in page
    assert str(tmp_path) not in page


def test_a_file_goes_end_to_end_on_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_to_end, "SHAPES", (2,))
    target = tmp_path / "figures.md"

    assert main([*TINY, "--only", "end-to-end", "--write", str(target)]) == 0

    (run,) = Results.load(target.with_suffix(".json")).end_to_end["sqlite"].rows
    assert (run.requests, run.batches) == (6, 2)
    assert run.ours.peak > 10_000_000
    assert set(run.sdk.steps) == {"load", "create", "wait", "results"}


def test_a_measurement_alone_answers_or_raises() -> None:
    assert alone(math.isqrt, 17) == 4

    with pytest.raises(ValueError, match="nonnegative"):
        alone(math.isqrt, -1)


def test_a_part_that_fails_is_told_and_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> list[msgspec.Struct]:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setitem(main.__globals__["MEASURES"], "reads", broken)
    target = tmp_path / "figures.md"

    assert main([*TINY, "--only", "reads,sizes", "--write", str(target)]) == 1

    assert "the disk is on fire" in capsys.readouterr().err
    results = Results.load(target.with_suffix(".json"))
    assert not results.reads
    assert results.sizes["sqlite"].rows

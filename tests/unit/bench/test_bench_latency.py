"""The latency bench runs, and its page keeps what was written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.latency import main, measure
from bench.latency_page import BY_HAND, Figure, write_page


def test_every_side_is_measured_in_every_round(tmp_path: Path) -> None:
    figures = {figure.side: figure for figure in measure(tmp_path, 2, warm=1)}
    assert {figure.rounds for figure in figures.values()} == {2}
    assert figures["bare"].added_p99 == 0
    for side in ("wrapped, all switched off", "cached, recorded behind", 'cached, recording="sync"'):
        assert figures[side].whole_p50 > 0


def test_the_page_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    page = tmp_path / "latency.md"
    figures = [Figure("bare", 9, 1200, 0, 0), Figure("cached", 9, 1400.4, 200.4, 1900)]
    write_page(page, figures, "here and now")
    page.write_text(f"{page.read_text()}\nWhat it means.\n")
    write_page(page, figures, "here and later")
    told = page.read_text()
    assert "| bare | 9 | 1,200 | – | – |" in told
    assert "| cached | 9 | 1,400 | 200 | 1,900 |" in told
    assert told.endswith(f"<sub>here and later</sub>\n\n{BY_HAND}\n\nWhat it means.\n")


def test_a_wrong_argument_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as left:
        main(["--rounds", "many"])
    assert left.value.code == 2

from __future__ import annotations

import pytest

from llm_ledger.cli.output import Column, show_list, show_table

COLUMNS = (Column("name"), Column("count", right=True))


def test_a_pipe_gets_aligned_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(COLUMNS, [("one", "1"), ("seventeen", "17")])
    assert capsys.readouterr().out.splitlines() == ["name       count", "one            1", "seventeen     17"]


def test_a_pipe_gets_every_row_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[int | None, bool]] = []

    def read(limit: int | None, newest_first: bool) -> range:
        asked.append((limit, newest_first))
        return range(1200)

    show_list(
        read, COLUMNS, cells=lambda row: (f"r{row}", str(row)), document=lambda row: row, json=False, limit=None
    )
    lines = capsys.readouterr().out.splitlines()
    assert asked == [(None, False)]
    assert [line.split()[0] for line in lines[1:]] == [f"r{row}" for row in range(1200)]


def test_a_terminal_gets_the_newest_rows_and_a_hint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_ledger.cli.output.on_terminal", lambda: True)

    def read(limit: int | None, newest_first: bool) -> list[int]:
        assert newest_first
        return list(range(1199, -1, -1))[:limit]

    show_list(
        read, COLUMNS, cells=lambda row: (f"r{row}", str(row)), document=lambda row: row, json=False, limit=None
    )
    told = capsys.readouterr()
    rows = [line.split()[0] for line in told.out.splitlines() if line.strip().startswith("r")]
    assert rows == [f"r{row}" for row in range(1150, 1200)]
    assert "the newest 50" in told.err


def test_cells_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(COLUMNS, [("\x1b[2J[red]", "1")])
    assert "\x1b" not in capsys.readouterr().out

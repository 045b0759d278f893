"""The page is made from what is stored, and keeps what was written by hand."""

from __future__ import annotations

from pathlib import Path

from bench.__main__ import main
from bench.machine import Machine
from bench.report import BY_HAND, write_page
from bench.results import AppendRate, ReadLatency, Results, Taken

MACHINE = Machine(2, 24, 2.3, "Linux", {"CPython": "3.11.7"})


def append_rate(ours: float) -> AppendRate:
    return AppendRate(per_list=5000, events=60_015, ours=ours, driver=80_000, peer=10_000, peer_alone=2_000, rounds=3)


def taken(*rows: AppendRate, at: str = "2026-11-22 12:00") -> Taken[AppendRate]:
    return Taken(at, "python -m bench", MACHINE, rows)


def test_ratios_are_those_of_the_stored_rates(tmp_path: Path) -> None:
    target = tmp_path / "benchmarks.md"
    Results(append={"sqlite": taken(append_rate(40_000))}).save(tmp_path / "benchmarks.json")

    assert main(["--render", "--write", str(target)]) == 0

    page = target.read_text(encoding="utf-8")
    assert "| SQLite | 5,000 | 60,015 | 80,000 | 10,000 | 2,000 | 40,000 | 0.50 | 4.00 | 20.00 |" in page
    assert "2026-11-22 12:00 UTC, `python -m bench`; 2 cores at 2.3 GHz, 24 GiB of memory, Linux" in page


def test_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    target = tmp_path / "benchmarks.md"
    target.write_text(f"# Old\n\n{BY_HAND}\n\n## The checks themselves\n\nTwo minutes.\n", encoding="utf-8")

    for _ in range(2):
        write_page(target, Results(append={"sqlite": taken(append_rate(40_000))}))

    page = target.read_text(encoding="utf-8")
    assert "# Old" not in page
    assert page.endswith(f"{BY_HAND}\n\n## The checks themselves\n\nTwo minutes.\n")
    assert page.count(BY_HAND) == 1


def test_a_part_measured_again_replaces_itself_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.json"
    first = Results(append={name: taken(append_rate(40_000)) for name in ("sqlite", "postgres")})
    first.save(path)

    Results.load(path).with_part("append", "sqlite", taken(append_rate(50_000), at="later")).save(path)

    again = Results.load(path)
    assert again.append["sqlite"].rows[0].ours == 50_000
    assert again.append["postgres"] == first.append["postgres"]


def test_sizes_stand_side_by_side(tmp_path: Path) -> None:
    rows = [
        ReadLatency("request by id", events, p50, 9.0, 300) for events, p50 in ((100_000, 0.5), (10_000_000, 0.6))
    ]
    target = tmp_path / "benchmarks.md"

    write_page(target, Results(reads={"postgres": Taken("now", "python -m bench", MACHINE, tuple(rows))}))

    page = target.read_text(encoding="utf-8")
    assert "| Postgres | p50 at 100,000 events, ms |" in page
    assert "| request by id | 0.50 | 9.00 | 0.60 | 9.00 |" in page

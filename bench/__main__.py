"""`make bench`: what an append costs beside the bare driver. `python -m bench --events 200000` for longer runs."""

from __future__ import annotations

import argparse
import warnings

from rich.console import Console
from rich.table import Table

from bench.append import bulk_append


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=60_000, help="events to append (default 60,000)")
    parser.add_argument("--database", choices=("sqlite", "postgres"), action="append", help="measure only this one")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # the embedded server's package warns about a missing runtime folder
    table = Table("database", "events", "bare driver, events/s", "ours, events/s", "ratio", title="bulk append")
    for database in chosen.database or ("sqlite", "postgres"):
        rate = bulk_append(database, chosen.events)
        table.add_row(database, f"{rate.events:,}", f"{rate.driver:,.0f}", f"{rate.ours:,.0f}", f"{rate.ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()

"""The command line. Nothing heavy is imported before the command that needs it: `--help` answers at once.

app        which commands there are            output     JSON lines and tables on stdout
guard      how errors become exit codes        progress   bars on stderr, for people
options    options that commands share         logs       one line per record on stderr
words      numbers and times, spelt            commands/  one module per command, or natural pair
"""

from __future__ import annotations

from llm_ledger.cli.app import main

__all__ = ["main"]

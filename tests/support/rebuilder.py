"""A process that rebuilds and is killed on the way: `python -m tests.support.rebuilder URL STATEMENT`.

It is killed before the first statement that contains those words.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from sqlalchemy import Engine, event

from ledger.backends import open_database
from ledger.rebuild import rebuild


def main(url: str, words: str) -> None:
    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if words in statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", look)
    rebuild(open_database(url))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

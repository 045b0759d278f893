"""`python -m tests.support.failing_disk BYTES COMMAND…`: `llm-ledger COMMAND…`, none of whose files can grow beyond.

The limit is given back on SIGUSR1, as if somebody had freed some space.
"""

from __future__ import annotations

import resource
import signal
import sys

from llm_ledger.cli import main

if __name__ == "__main__":
    most = int(sys.argv.pop(1))
    _, ceiling = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGUSR1, lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (ceiling, ceiling)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, ceiling))
    main()

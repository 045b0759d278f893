"""Files that this process may not write, root or not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["public_folder", "unprivileged"]

NOBODY = 65534


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that every user can look into; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="llm-ledger-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Inside, file modes count: root, to whom they mean nothing, is somebody else for the time."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)

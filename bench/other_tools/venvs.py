"""A virtual environment for each tool, so that their dependencies never meet."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from bench.other_tools.tools import Tool

__all__ = ["python_of"]


def python_of(tool: Tool, folder: Path) -> Path:
    """The tool's interpreter, installed below `folder` unless it is there already.

    Raises CalledProcessError with what pip said in `stderr`.
    """
    if not tool.packages:
        return Path(sys.executable)
    home = folder / tool.name.replace(" ", "-")
    python = home / "bin" / "python"
    ready = home / "installed"
    wanted = "\n".join(tool.packages)
    if not ready.exists() or ready.read_text() != wanted:
        venv.create(home, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *tool.packages]
        subprocess.run(install, check=True, capture_output=True, text=True)
        ready.write_text(wanted)
    return python

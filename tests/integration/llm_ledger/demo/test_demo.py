"""The demo holds: it exits with 0 only if the crash, the bill and the audit come out right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from llm_ledger.demo.questions import MODELS, request_lines


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llm_ledger", "demo", "--keep", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "NO_COLOR": "1"})


def test_the_whole_loop_with_a_crash_in_the_middle(tmp_path: Path) -> None:
    done = demo(tmp_path / "kept")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGKILL" in done.stdout
    assert "found: its items carry our nonce" in done.stdout
    assert done.stdout.count("✓") == 4
    assert "✗" not in done.stdout
    assert (tmp_path / "kept" / "llm-ledger.db").exists()
    again = demo(tmp_path / "kept")
    assert again.returncode == 2
    assert "holds a ledger already" in again.stderr


def test_two_hundred_questions_share_one_prompt_beyond_every_minimum() -> None:
    lines = [json.loads(line) for line in request_lines()]
    assert len({line["custom_id"] for line in lines}) == len(lines) == 200
    assert {line["params"]["model"] for line in lines} == set(MODELS)
    (prompt,) = {line["params"]["system"][0]["text"] for line in lines}
    assert len(prompt) / 4 > 4_096

"""Fourteen providers in one local server: each answers in its own format, always the same, and hears everything.

`/<provider>/…` is the provider's address: `running()` gives the server, `url("groq")` what a configuration calls its
endpoint. Every answer says "Hello there." and reports `PROMPT` tokens of input, `CACHED` of them read from a cache
where the provider's format can say so, and `ANSWER` tokens of output.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.support.provider_formats import ANSWER, CACHED, FORMATS, PROMPT, TEXT, TOKENS

__all__ = ["ANSWER", "CACHED", "PROMPT", "TEXT", "TOKENS", "Heard", "StandIns", "running"]


class Heard(NamedTuple):
    """One request as it came over the wire. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class StandIns(ThreadingHTTPServer):
    """The server. What it hears, but for requests of access tokens, is `taken()` in its order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._heard: list[Heard] = []
        self._refuses = False

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{provider}"

    def taken(self) -> list[Heard]:
        heard, self._heard = self._heard, []
        return heard

    @contextmanager
    def refuses(self) -> Iterator[None]:
        """Meanwhile every request is answered 400."""
        self._refuses = True
        yield
        self._refuses = False

    def answer(self, heard: Heard) -> tuple[int, str, bytes]:
        """(status, content type, body) of what goes back."""
        _, provider, path = heard.path.split("/", 2)
        if path == TOKENS:
            return 200, *FORMATS[provider](path, {})
        self._heard.append(heard)
        if self._refuses:
            return (
                400,
                "application/json",
                json.dumps({"error": {"message": "no", "type": "invalid_request"}}).encode(),
            )
        return 200, *FORMATS[provider](path, json.loads(heard.body))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIns

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, kind, answer = self.server.answer(Heard("POST", self.path, headers, body))
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.send_header("connection", "close")  # nothing stays open in clients that nobody closes
        self.end_headers()
        self.wfile.write(answer)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Always the same instant: some integrations hand the answer's headers on, and answers are compared."""
        return super().date_time_string(0)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def running() -> Iterator[StandIns]:
    """The server, in a thread of its own."""
    with StandIns() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

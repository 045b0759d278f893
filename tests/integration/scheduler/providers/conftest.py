"""A provider of a few lines: it answers each request with the next step of a script, byte for byte."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import pytest

from scheduler.providers.anthropic import AnthropicBatches, AnthropicSettings


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    stream: Any
    connection: int
    body: bytes = b""

    def read_body(self) -> None:
        self.body = self.stream.read(int(self.headers.get("content-length", "0")))


Step = Callable[[socket.socket, Request], bool]
"""Answers a request; True keeps the connection."""


class Script:
    """What the server does, and what it was asked."""

    @staticmethod
    def answer(status: int, body: Any = b"", *, early: bool = False, **headers: str) -> Step:
        """`early`: the answer leaves before the body of the request is read."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        def step(connection: socket.socket, request: Request) -> bool:
            if not early:
                request.read_body()
            named = {"content-length": str(len(content)), "content-type": "application/json"}
            named |= {name.replace("_", "-"): value for name, value in headers.items()}
            head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
            connection.sendall(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + content)
            if early:
                request.read_body()
            return True

        return step

    @staticmethod
    def bears(request: Request, key: str) -> bool:
        """Whether a request bears the key, and no other, the way of the installed SDK."""
        ways = {name: request.headers[name] for name in ("authorization", "x-api-key") if name in request.headers}
        older = version("anthropic").startswith("0.")
        return ways == ({"x-api-key": key} if older else {"authorization": f"Bearer {key}"})

    @staticmethod
    def error(status: int, kind: str = "api_error", message: str = "no", **headers: str) -> Step:
        body = {"type": "error", "error": {"type": kind, "message": message}}
        return Script.answer(status, body, request_id="req_1", **headers)

    @staticmethod
    def pieces(*pieces: bytes, promised: int) -> Step:
        """A body in several sends, ended by closing the connection, whatever was promised."""

        def step(connection: socket.socket, request: Request) -> bool:
            request.read_body()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n")
            connection.sendall(f"content-length: {promised}\r\n\r\n".encode())
            for piece in pieces:
                connection.sendall(piece)
            return False

        return step

    @staticmethod
    def drop(*, read: bool = True, reset: bool = False) -> Step:
        """Hang up without a word, before or after the body was read."""

        def step(connection: socket.socket, request: Request) -> bool:
            if read:
                request.read_body()
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False

        return step

    @staticmethod
    def silence() -> Step:
        """Read the request and say nothing until the other side hangs up."""

        def step(connection: socket.socket, request: Request) -> bool:
            request.read_body()
            request.stream.read(1)
            return False

        return step


@dataclass
class Server:
    base_url: str
    requests: list[Request] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    answered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def only_request(self) -> Request:
        """The one request, once its step is over: needed where the client does not wait for an answer."""
        assert self.answered.acquire(timeout=5)
        (request,) = self.requests
        return request

    def play(self, *steps: Step) -> None:
        self.steps.extend(steps)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while self._exchange(connection, stream):
                pass

    def _exchange(self, connection: socket.socket, stream: Any) -> bool:
        try:
            request_line = stream.readline().decode().split()
            if not request_line:
                return False
            headers = {}
            while line := stream.readline().decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            request = Request(request_line[0], request_line[1], headers, stream, id(stream))
            self.requests.append(request)
            step = self.steps.pop(0)
        except OSError:
            return False
        try:
            return step(connection, request)
        except OSError:
            return False
        finally:
            self.answered.release()


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=made.serve, args=(listener,), daemon=True)
        thread.start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert not thread.is_alive()
    assert made.steps == [], "the script was not played to its end"


@pytest.fixture
def script() -> type[Script]:
    return Script


@pytest.fixture
def connect() -> Iterator[Callable[..., AnthropicBatches]]:
    """Make providers that are closed after the test. Short timeouts, and no waiting between retries."""
    made: list[AnthropicBatches] = []

    def connect(base_url: str, **settings: Any) -> AnthropicBatches:
        chosen = {"api_key": "sk-secret-1", "timeout_seconds": 5.0, "read_retries": 0} | settings
        made.append(AnthropicBatches(AnthropicSettings(base_url=base_url, **chosen)))
        return made[-1]

    yield connect
    for provider in made:
        provider.close()


@pytest.fixture
def provider(server: Server, connect: Callable[..., AnthropicBatches]) -> AnthropicBatches:
    return connect(server.base_url)

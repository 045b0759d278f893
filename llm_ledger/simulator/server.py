"""Running the simulator: in the foreground for people, in a thread for tests."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from llm_ledger.simulator.accounts import account_label
from llm_ledger.simulator.app import create_app
from llm_ledger.simulator.config import SimulatorConfig
from llm_ledger.simulator.wire import WireProtocol

__all__ = ["RunningSimulator", "running", "serve"]


class RunningSimulator:
    """A simulator that is up. Point `ANTHROPIC_BASE_URL` at `base_url`."""

    def __init__(self, host: str, port: int) -> None:
        self.base_url = _url(host, port)
        self._address = (host, port)

    def bill(self) -> dict[str, Any]:
        """The provider's bill so far: `total` (USD, exact decimal string), groupings, token columns."""
        return self._request("GET", "bill")

    def log(self) -> dict[str, Any]:
        """What arrived: `batches`, `creates_seen`, `creates` (which POST made which batches), `duplicated_params`,
        `calls` per endpoint, `faults` that happened."""
        return self._request("GET", "log")

    def advance(self, seconds: float) -> None:
        """Move the provider's clock ahead."""
        self._request("POST", "clock", {"advance_seconds": seconds})

    def clock(self) -> dict[str, Any]:
        """The provider's time: `now` (RFC 3339) and `scale`."""
        return self._request("GET", "clock")

    def fault(self, **fields: Any) -> None:
        """Order a fault; the fields are those of `faults.Fault`. ValueError says what is possible."""
        self._request("POST", "faults", fields)

    def fault_rate(self, rate: float, seed: int = 0) -> None:
        """Let requests go wrong with this chance from now on; the seed decides which, and how."""
        self._request("POST", "fault_rate", {"rate": rate, "seed": seed})

    def clear_faults(self) -> None:
        """Let every request go well from now on, chance or not."""
        self._request("DELETE", "faults")

    def accident(self, **fields: Any) -> None:
        """Let batch items fail; the fields are those of `outcomes.AccidentRule`."""
        self._request("POST", "accidents", fields)

    def clear_accidents(self) -> None:
        """Let every item succeed from now on."""
        self._request("DELETE", "accidents")

    def reset(self) -> None:
        """Forget batches, cache, bill, faults and accidents; the clock begins anew."""
        self._request("POST", "reset")

    @staticmethod
    def account(key: str) -> str:
        """The name under which a key's account stands on the bill and in the log."""
        return account_label(key)

    def _request(self, method: str, what: str, content: object = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(*self._address, timeout=600)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, f"/_simulator/{what}", body)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"]["message"])
        return answer


class _Server(uvicorn.Server):
    """uvicorn that says when it is up, lets go of hanging answers when it stops, and ends without a signal of
    its own: the caller decides what an interrupt means."""

    def __init__(self, app: Starlette, on_ready: Callable[[], object]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=WireProtocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                # Longer than any client's pool keeps a connection: a close from here would race with a request.
                timeout_keep_alive=600,
                timeout_graceful_shutdown=2,
            )
        )
        self._state = app.state
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._state.stopping.set()
        self._state.provider.processing.stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(
    config: SimulatorConfig | None = None,
    host: str = "127.0.0.1",
    port: int = 8787,
    on_ready: Callable[[str], object] = lambda base_url: None,
) -> None:
    """Serve until SIGINT or SIGTERM; then return. `on_ready` is called once with the base URL.

    Port 0 takes a free one. Raises OSError where the address is taken.
    """
    with _listening(host, port) as (listener, base_url):
        server = _Server(create_app(config), lambda: on_ready(base_url))
        asyncio.run(server.serve(sockets=[listener]))


@contextlib.contextmanager
def running(config: SimulatorConfig | None = None, port: int = 0) -> Iterator[RunningSimulator]:
    """A simulator in a thread of this process, on the loopback, up when the block begins and gone after it."""
    up = threading.Event()
    with _listening("127.0.0.1", port) as (listener, _):
        server = _Server(create_app(config), up.set)
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])), name="simulator", daemon=True
        )
        handle = RunningSimulator("127.0.0.1", listener.getsockname()[1])
        thread.start()
        try:
            if not up.wait(30):
                raise RuntimeError("the simulator did not come up")
            yield handle
        finally:
            server.should_exit = True
            thread.join(30)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1_024) as listener:
        yield listener, _url(host, listener.getsockname()[1])


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

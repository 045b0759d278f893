"""A wire to a Postgres server that breaks when a test wants it to: after a COMMIT was sent, before its answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

__all__ = ["FailingProxy", "failing_proxy"]


class FailingProxy:
    """Passes bytes on between clients at a unix socket and a server. `cuts` counts the acknowledgements it kept.

    `cut_commits` says how many COMMITs reach the server and are never heard of again, after `skip_commits` others.
    """

    def __init__(self, server_url: str, folder: Path) -> None:
        self._url = make_url(server_url)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        here = self._url.set(host=None, port=None).update_query_dict({"host": str(folder)})
        self.url = here.render_as_string(hide_password=False)
        self.cut_commits = self.skip_commits = self.cuts = 0
        self._pairs: list[_Pair] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._pairs.append(_Pair(self, client, self._connect()))

    def _connect(self) -> socket.socket:
        port = self._url.port or 5432
        if self._url.host:
            return socket.create_connection((self._url.host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self._url.query['host']}/.s.PGSQL.{port}")
        return server

    def is_to_cut(self) -> bool:
        """Whether the COMMIT at hand is one of those."""
        if self.skip_commits:
            self.skip_commits -= 1
            return False
        if not self.cut_commits:
            return False
        self.cut_commits -= 1
        return True

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for pair in self._pairs:
            pair.close()


class _Pair:
    """One client's wire."""

    def __init__(self, proxy: FailingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_cut = False
        self._threads = [threading.Thread(target=way) for way in (self._requests, self._answers)]
        for thread in self._threads:
            thread.start()

    def _requests(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.recv(65536):
                if b"COMMIT\x00" in data:
                    self._is_cut = self._proxy.is_to_cut()
                self._server.sendall(data)
        self._end()

    def _answers(self) -> None:
        # Once it is cut, the first answer ends the wire instead.
        with contextlib.suppress(OSError):
            while data := self._server.recv(65536):
                if self._is_cut:
                    self._proxy.cuts += 1
                    break
                self._client.sendall(data)
        self._end()

    def _end(self) -> None:
        for one in (self._client, self._server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it."""
        self._end()
        for thread in self._threads:
            thread.join()
        self._client.close()
        self._server.close()


@contextmanager
def failing_proxy(server_url: str, folder: Path) -> Iterator[FailingProxy]:
    """A proxy for a test, at a unix socket in a folder."""
    proxy = FailingProxy(server_url, folder)
    try:
        yield proxy
    finally:
        proxy.close()

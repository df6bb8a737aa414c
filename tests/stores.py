"""An S3 server on loopback (moto's) that refuses, slows down and loses answers as it is told."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

Environ = dict[str, Any]
Respond = Callable[..., Any]

SLOW_DOWN = ("503 Slow Down", "SlowDown", "Please reduce your request rate.")
INTERNAL = ("500 Internal Server Error", "InternalError", "We encountered an internal error. Please try again.")
BAD_KEY = ("403 Forbidden", "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
KEY = "testing"


class FaultyStore:
    """A WSGI application: moto's, with a fault in every so-many-th request, and one access key that it knows.

    throttled, failed: each n-th request is refused, before anything is done. lost: each n-th is done, and the answer is
    an error. 0: none. counts: what was done of each; "PUT" and "GET" are requests.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self.throttled = self.failed = self.lost = 0
        self.counts: Counter[str] = Counter()

    def __call__(self, environ: Environ, respond: Respond) -> Any:
        with self._lock:
            self.counts["all"] += 1
            self.counts[environ["REQUEST_METHOD"]] += 1
            number = self.counts["all"]
        if f"Credential={KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            return self._refuse(respond, "denied", BAD_KEY)
        if self.throttled and number % self.throttled == 0:
            return self._refuse(respond, "throttled", SLOW_DOWN)
        if self.failed and number % self.failed == 0:
            return self._refuse(respond, "failed", INTERNAL)
        if self.lost and environ["REQUEST_METHOD"] == "PUT" and number % self.lost == 0:
            b"".join(self._app(environ, lambda *_: None))
            return self._refuse(respond, "lost", INTERNAL)
        return self._app(environ, respond)

    def _refuse(self, respond: Respond, kind: str, answer: tuple[str, str, str]) -> list[bytes]:
        status, code, message = answer
        with self._lock:
            self.counts[kind] += 1
        respond(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()]


@contextlib.contextmanager
def serving(application: FaultyStore) -> Iterator[str]:
    """The URL of a server in a thread of this process, on loopback."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, *_: object, **__: object) -> None: ...

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

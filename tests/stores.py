"""An S3 server on loopback (moto's) that refuses, slows down and loses answers as it is told."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vaecodec import urls

Environ = dict[str, Any]
Respond = Callable[..., Any]

SLOW_DOWN = ("503 Slow Down", "SlowDown", "Please reduce your request rate.")
INTERNAL = ("500 Internal Server Error", "InternalError", "We encountered an internal error. Please try again.")
BAD_KEY = ("403 Forbidden", "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
KEY = "testing"
MOST_IN_A_ROW = 2


class FaultyStore:
    """A WSGI application: moto's, with a fault in every so-many-th request, and one access key that it knows.

    throttled, failed: each n-th request is refused, before anything is done. lost: each n-th PUT is done, and the
    answer is an error. 0: none. No request fails more than twice in a row, whichever threads ask: a client asks five
    times. counts: what was done of each; "PUT" and "GET" are requests.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self.throttled = self.failed = self.lost = 0
        self.counts: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()

    def __call__(self, environ: Environ, respond: Respond) -> Any:
        with self._lock:
            self.counts["all"] += 1
            self.counts[environ["REQUEST_METHOD"]] += 1
            number, puts = self.counts["all"], self.counts["PUT"]
            request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}"
            is_spared = self._in_a_row[request] == MOST_IN_A_ROW
            self._in_a_row[request] += 1
        if f"Credential={KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            return self._refuse(respond, "denied", BAD_KEY)
        if not is_spared:
            if self.lost and environ["REQUEST_METHOD"] == "PUT" and puts % self.lost == 0:
                b"".join(self._app(environ, lambda *_: None))
                return self._refuse(respond, "lost", INTERNAL)
            if self.throttled and number % self.throttled == 0:
                return self._refuse(respond, "throttled", SLOW_DOWN)
            if self.failed and number % self.failed == 0:
                return self._refuse(respond, "failed", INTERNAL)
        with self._lock:
            self._in_a_row[request] = 0
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


def credentials(monkeypatch: pytest.MonkeyPatch, endpoint: str, key: str | None) -> None:
    """Set the environment to a server and to one access key, or to none."""
    import s3fs

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }  # fmt: skip
    keys = {} if key is None else {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in (settings | keys).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()


def put_photos(folder: str, photo: NDArray[np.uint8], names: tuple[str, ...]) -> None:
    """Put images of several heights below a URL."""
    for number, name in enumerate(names):
        file = io.BytesIO()
        Image.fromarray(photo[: 20 + number]).save(file, "PNG")
        urls.write(urls.join(folder, name), file.getvalue(), overwrite=False)

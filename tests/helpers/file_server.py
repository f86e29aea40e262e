"""A web server on 127.0.0.1 that has one file and gives it well or badly, by the name in the address."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from local_server import serve

USER = "Basic " + base64.b64encode(b"me:s:cret").decode()


@dataclass
class Served:
    """What the server gives, and the requests that it has seen: their targets and users."""

    content: bytes
    url: str = ""
    seen: list[str] = field(default_factory=list)
    users: list[str | None] = field(default_factory=list)


@contextmanager
def serving(content: bytes) -> Iterator[Served]:
    server = serve(_Handler, served := Served(content))
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    held: Served

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.held.seen.append(self.path)
        self.held.users.append(self.headers.get("Authorization"))
        name, _, rest = self.path[1:].partition("/")
        try:
            getattr(self, f"give_{name}", self.give_absent)(rest)
        except ConnectionError:
            pass  # the client has had enough

    def answer(self, content, status=200, length=None, **headers):
        self.send_response(status)
        for key, value in (headers | {"Content-Length": length or len(content)}).items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(content)

    def give_whole(self, _):
        self.answer(self.held.content)

    def give_absent(self, _):
        self.answer(b"no", 404)

    def give_private(self, _):
        if self.headers.get("Authorization") == USER:
            self.answer(self.held.content)
        else:
            self.answer(b"who?", 401)

    def give_changed(self, _):
        self.answer(self.held.content[:-1] + b"!")

    def give_cut(self, _):
        self.answer(self.held.content[:1000], length=len(self.held.content))

    def give_cut_once(self, rest):
        if self.held.seen.count(self.path) == 1:
            self.give_cut(rest)
        else:
            self.give_whole(rest)

    def give_stalled(self, _):
        self.answer(self.held.content[:200_000], length=len(self.held.content))
        time.sleep(600)

    def give_to(self, address):
        """/to/ADDRESS redirects to an address; one without a scheme is on this server."""
        self.answer(b"", 302, Location=address if ":" in address else f"/{address}")

    def give_closed(self, _):
        self.connection.close()

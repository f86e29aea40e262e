"""A web server on 127.0.0.1 that has one file and gives it badly, by the name in the address.

/whole gives the file, the others are in `_Handler`. With `certificate` it speaks https.
"""

import base64
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

PAGE = b"\n<!DOCTYPE html><html><body>Please log in.</body></html>"
USER = "Basic " + base64.b64encode(b"me:s:cret").decode()


@dataclass
class Served:
    """What the server gives, and the requests that it has seen: their targets and users."""

    content: bytes
    nap: float = 0.0  # seconds before a slow answer, or between the bytes of a drip
    url: str = ""
    seen: list[str] = field(default_factory=list)
    users: list[str | None] = field(default_factory=list)


@contextmanager
def serving(served: Served, certificate: Path | None = None) -> Iterator[Served]:
    class Handler(_Handler):
        held = served

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    served.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
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
        path = urlsplit(self.path).path  # of a proxy, the whole address is asked for
        self.held.seen.append(self.path)
        self.held.users.append(self.headers.get("Authorization"))
        name, _, rest = path[1:].partition("/")
        try:
            getattr(self, f"give_{name}", self.give_absent)(rest)
        except ConnectionError:
            pass  # the client has had enough

    def answer(self, content, status=200, **headers):
        self.send_response(status)
        for key, value in ({"Content_Length": len(content)} | headers).items():
            if value is not None:
                self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def give_whole(self, _):
        self.answer(self.held.content)

    def give_absent(self, _):
        self.answer(b"no", 404)

    def give_private(self, _):
        known = self.headers.get("Authorization") == USER
        self.answer(*((self.held.content,) if known else (b"who?", 401)))

    def give_changed(self, _):
        self.answer(self.held.content[:-1] + b"!")

    def give_short(self, _):
        self.answer(self.held.content[: len(self.held.content) // 2])

    def give_cut(self, _):
        half = len(self.held.content) // 2
        self.answer(self.held.content[:half], Content_Length=len(self.held.content))

    def give_understated(self, _):
        self.answer(self.held.content, Content_Length=1000)

    def give_overstated(self, _):
        self.answer(self.held.content, Content_Length=10**12)

    def give_endless(self, _):
        self.answer(b"", Content_Length=None)
        while True:
            self.wfile.write(self.held.content)

    def give_page(self, _):
        self.answer(PAGE)

    def give_slow(self, _):
        time.sleep(self.held.nap)

    def give_late(self, _):
        time.sleep(self.held.nap)
        self.answer(self.held.content)

    def give_stalled(self, _):
        self.answer(self.held.content[:1000], Content_Length=len(self.held.content))
        time.sleep(self.held.nap)

    def give_drip(self, _):
        self.answer(b"", Content_Length=len(self.held.content))
        for i in range(len(self.held.content)):
            self.wfile.write(self.held.content[i : i + 1])
            time.sleep(self.held.nap)

    def give_to(self, address):
        """/to/ADDRESS redirects to an address; one without a scheme is on this server."""
        self.answer(b"", 302, Location=address if ":" in address else f"/{address}")

    def give_circle(self, _):
        self.answer(b"", 302, Location="/circle")

    def give_closed(self, _):
        self.connection.close()

    def give_nonsense(self, _):
        self.wfile.write(b"what?\r\n\r\n")

"""A web server on 127.0.0.1 for stand-ins of services."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(handler: type[BaseHTTPRequestHandler], held) -> ThreadingHTTPServer:
    """A server that answers by `handler` from what is `held`, in a thread; `shutdown` ends it.

    Its address becomes `held.url`.
    """
    bound = type(handler.__name__, (handler,), {"held": held})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.daemon_threads = True
    held.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server

"""A web service that counts visits in a database. It goes on when the database does not answer.

The database speaks HTTP: a request to /cgi-bin/add is answered with the number of visits.
"""

import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def count_visit() -> str:
    """Ask the database to count a visit, and return the number; OSError when it does not answer in a second."""
    with urllib.request.urlopen(f"{os.environ['DB_URL']}/cgi-bin/add", timeout=1) as answer:
        return answer.read().decode().strip()


class Shop(BaseHTTPRequestHandler):
    """Answers `visitor N`, or with 503 without the database."""

    def do_GET(self) -> None:
        """Answer a request."""
        try:
            status, text = 200, f"visitor {count_visit()}\n"
        except OSError as error:
            status, text = 503, f"closed: {error}\n"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        """Log nothing."""


def serve(port: int = 0) -> ThreadingHTTPServer:
    """Return the server, on a free port of 127.0.0.1 by default."""
    return ThreadingHTTPServer(("127.0.0.1", port), Shop)

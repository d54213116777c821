"""A stand-in for a service, run as a script: answers `/readyz` on its port and ends on SIGTERM. `--dies` ends at once instead."""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


if __name__ == "__main__":
    if "--dies" in sys.argv:
        sys.exit("ends at once")
    HTTPServer(("127.0.0.1", int(os.environ["LASTMETRE_OPS_PORT"])), Ready).serve_forever()

"""Stands for Ryuk, which is not at hand as a Debian package: removes what a test run leaves, once the run has gone.

A client says on port 8080 which labels its things have, a line for each (`label=KEY=VALUE&label=...`), and reads `ACK`.
When no client has been there for RYUK_RECONNECTION_TIMEOUT, everything with these labels is removed, and it ends. It
runs in a container that has the engine's socket mounted.
"""

import http.client
import json
import os
import re
import socket
import sys
import threading
import time
import urllib.parse

WAIT = float(re.sub("s$", "", os.environ.get("RYUK_RECONNECTION_TIMEOUT", "10s")))
known = []
clients = 0
left = time.monotonic() + 50  # seconds until the first client has to be there


class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


def ask(method, path):
    engine = Engine("engine")
    engine.request(method, path)
    answer = engine.getresponse()
    body = answer.read()
    print(method, path, answer.status, flush=True)
    return json.loads(body) if body.startswith((b"[", b"{")) else None


def listen(connection):
    global clients, left
    clients += 1
    for line in connection.makefile("rb"):
        query = urllib.parse.parse_qs(line.decode().strip())
        known.append(json.dumps({"label": query["label"]}))
        connection.sendall(b"ACK\n")
    clients -= 1
    left = time.monotonic() + WAIT


def reap():
    for filters in known:
        wanted = urllib.parse.urlencode({"filters": filters, "all": 1})
        for container in ask("GET", f"/containers/json?{wanted}"):
            ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for network in ask("GET", f"/networks?{wanted}"):
            ask("DELETE", f"/networks/{network['Id']}")
        for volume in ask("GET", f"/volumes?{wanted}")["Volumes"] or []:
            ask("DELETE", f"/volumes/{volume['Name']}")
        for image in ask("GET", f"/images/json?{wanted}"):
            ask("DELETE", f"/images/{image['Id']}")


def accept(server):
    while True:
        threading.Thread(target=listen, args=(server.accept()[0],), daemon=True).start()


ask("GET", "/_ping")
server = socket.create_server(("", 8080))
print(time.strftime("%F %T"), "Started!", flush=True)
threading.Thread(target=accept, args=(server,), daemon=True).start()
while clients or time.monotonic() < left:
    time.sleep(0.05)
reap()
sys.exit()

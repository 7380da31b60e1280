"""A program that is called podman and is Docker's command line, for tests that prepare things with podman's."""

import shutil
import sys
from pathlib import Path

from tests.compatibility.stage import Stage

_TEXT = """#!{python}
import os, subprocess, sys, threading, time, socket

def docker(*words, **more):
    return subprocess.run(["{docker}", *words], **more)

def listed(*words):
    return docker(*words, capture_output=True, text=True).stdout.split()

def forward(source, target):
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass

def serve(port):
    server = socket.create_server(("127.0.0.1", port))
    while True:
        client = server.accept()[0]
        engine = socket.create_connection(("127.0.0.1", 8081))
        for pair in ((client, engine), (engine, client)):
            threading.Thread(target=forward, args=pair, daemon=True).start()

words = sys.argv[1:]
while words and words[0].startswith("--"):
    if "=" not in words[0]:
        words.pop(0)
    words.pop(0)
verb, *rest = words
if verb == "system" and rest[0] == "service":
    serve(int(rest[1].rpartition(":")[2]))
everything = [word for word in rest if word in ("-a", "-af", "-fa", "--all")]
if verb == "rm" and everything:
    ids = listed("ps", "-aq")
    sys.exit(docker("rm", "-f", *ids).returncode if ids else 0)
if verb == "rmi" and everything:
    ids = listed("images", "-q")
    sys.exit(docker("rmi", "-f", *sorted(set(ids))).returncode if ids else 0)
if verb in ("run", "create") and "--replace" in rest:
    rest.remove("--replace")
    name = next((w.partition("=")[2] or rest[i + 1] for i, w in enumerate(rest) if w.split("=")[0] == "--name"), None)
    docker("rm", "-f", name, capture_output=True)
if verb == "untag":
    verb = "rmi"
if verb == "container" and rest[:1] == ["exists"]:
    sys.exit(docker("container", "inspect", rest[1], capture_output=True).returncode)
sys.exit(docker(verb, *rest).returncode)
"""


# podman's /events ends with `stream=false`. Docker's does not know that and goes on: what came so far is the answer.
_CURL = """#!/bin/bash
[[ " $* " == *" -m "* ]] && exec {curl} "$@"
{curl} --max-time 8 "$@"
code=$?
exit $((code == 28 ? 0 : code))
"""


def lay_program(stage: Stage) -> Path:
    """Write the program, and a curl that ends; return where it is."""
    program = Path("/tmp/compatibility-bin/podman")
    program.parent.mkdir(exist_ok=True)
    program.write_text(_TEXT.replace("{python}", sys.executable).replace("{docker}", str(stage.peers.docker)))
    curl = program.with_name("curl")
    curl.write_text(_CURL.replace("{curl}", shutil.which("curl") or "/usr/bin/curl"))
    for one in (program, curl):
        one.chmod(0o755)
    return program

"""Published ports from the command line to the answer. The paths to them are in test_paths.py."""

import json

from tests.harness import Host, eventually

# A web server that answers with the source address it saw.
_SERVER = (
    "mkdir -p /www/cgi-bin; printf '#!/bin/sh\\necho; echo from=$REMOTE_ADDR\\n' > /www/cgi-bin/who;"
    " chmod +x /www/cgi-bin/who; exec httpd -f -p 0.0.0.0:80 -h /www"
)

# A server that answers every connection with its source address.
_TELL_SOURCE = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    connection, address = server.accept()
    connection.sendall(address[0].encode())
    connection.close()
"""


def serve(host: Host, name: str, *words: str) -> str:
    host.minirun("run", "-d", "--name", name, *words, "busybox", "sh", "-c", _SERVER)
    address = json.loads(host.minirun("inspect", name).stdout)[0]["NetworkSettings"]["IPAddress"]
    eventually(lambda: host.minirun("exec", name, "wget", "-qO-", "http://127.0.0.1/cgi-bin/who", check=False).stdout)
    return str(address)


def who(at: str, port: int = 80) -> list[str]:
    return ["timeout", "3", "busybox", "wget", "-qO-", f"http://{at}:{port}/cgi-bin/who"]


def test_ranges_and_random_ports(host: Host) -> None:
    host.minirun(
        "run",
        "-d",
        "--name",
        "many",
        "-p",
        "8000-8010:9000-9010",
        "-p",
        "80",
        "busybox",
        "httpd",
        "-f",
        "-p",
        "9010",
        "-h",
        "/var/www",
    )
    listing = host.minirun("port", "many").stdout
    assert "9010/tcp -> 0.0.0.0:8010" in listing
    random = int(host.minirun("port", "many", "80").stdout.strip().rpartition(":")[2])
    assert random >= 1024
    assert "minirun" in eventually(lambda: host.sh("busybox wget -qO- http://127.0.0.1:8010/", check=False))


def test_a_port_in_use_is_refused_and_the_owner_named(host: Host) -> None:
    host.minirun("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sleep", "100")
    host.popen(["python3", "-c", _TELL_SOURCE, "0.0.0.0", "9090"])
    eventually(lambda: "9090" in host.sh("ss -Hltn"))
    for port, owner in (
        ("8080", "by container web"),
        ("127.0.0.1:8080", "by container web"),
        ("9090", "by python3 (pid"),
    ):
        done = host.minirun("run", "--name", "late", "-p", f"{port}:80", "busybox", "true", check=False)
        assert done.returncode == 125
        assert "port is already allocated" in done.stderr
        assert owner in done.stderr
    assert "late" not in host.minirun("ps", "-a").stdout
    assert (
        "in use" in host.run(["python3", "-c", _TELL_SOURCE, "", "8080"], check=False).stderr
    )  # nor can others take ours


def test_containers_of_one_network_reach_each_other_and_a_flushed_table_comes_back(host: Host) -> None:
    lan = host.neighbour()
    serve(host, "web", "-p", "8080:80")
    host.sh("nft flush ruleset")
    assert lan.run(who(lan.host_address, 8080), check=False).returncode != 0
    host.minirun("run", "--rm", "busybox", "true")  # the next start finds its table gone, and renders it
    assert lan.run(who(lan.host_address, 8080)).stdout.startswith("from=")

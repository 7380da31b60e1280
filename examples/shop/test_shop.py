"""Tests of the shop with a real database, and with one that is slow, gone, or cut off from the network."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import serve

from minirun.testing import Container, Network, assert_blocked, assert_reaches, listening

SCRIPT = Path(__file__).with_name("db.sh").read_text()


@pytest.fixture
def db(container) -> Container:
    """The database, ready: the kernel says that it listens."""
    start = 'mkdir -p /db/cgi-bin; echo "$DB" >/db/cgi-bin/add; chmod +x /db/cgi-bin/add; exec httpd -f -p 5432 -h /db'
    command = ["sh", "-c", start]
    return container("busybox", command, name="db", env={"DB": SCRIPT}, ports=[5432], ready=listening(5432))


@pytest.fixture
def shop(db: Container, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of the shop, which runs in this process."""
    monkeypatch.setenv("DB_URL", f"http://127.0.0.1:{db.port(5432)}")
    with serve() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def get(url: str) -> tuple[int, str]:
    """Return the status and the text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_visitors_are_counted(shop: str) -> None:
    assert get(shop) == (200, "visitor 1\n")
    assert get(shop) == (200, "visitor 2\n")


def test_the_shop_is_closed_while_the_database_hangs(shop: str, db: Container) -> None:
    db.kill("STOP")  # as db.pause(), which needs cgroups: without root there may be none
    assert get(shop)[0] == 503
    db.kill("CONT")
    assert get(shop)[0] == 200


def test_the_shop_is_closed_while_the_network_is_broken(shop: str, db: Container) -> None:
    with db.blackhole(5432):  # nothing answers, and nothing is refused
        assert get(shop)[0] == 503
    assert get(shop)[0] == 200


def test_a_slow_cable_is_no_reason_to_close(shop: str, db: Container) -> None:
    with db.bandwidth(64_000):
        assert get(shop)[0] == 200


def test_the_shop_is_closed_without_the_database(shop: str, db: Container) -> None:
    db.kill()
    db.wait()
    assert get(shop)[0] == 503
    db.start()  # waits until it is ready again


def test_each_test_has_a_clone_of_the_filled_database(db: Container) -> None:
    db.exec("sh", "-c", "echo 41 >/tmp/visits")
    snapshot = db.snapshot()
    for _ in range(2):
        with snapshot.run() as clone:
            assert clone.exec("wget", "-qO-", "http://127.0.0.1:5432/cgi-bin/add").stdout == "42\n"


def test_only_the_backend_reaches_the_database(container, network) -> None:
    backend: Network = network("backend")
    db = container("busybox", ["httpd", "-f", "-p", "80"], name="db", networks=[backend], ready=listening(80))
    worker = container("busybox", ["sleep", "60"], name="worker", networks=[backend])
    other = container("busybox", ["sleep", "60"], name="other")
    assert_reaches(worker, db, 80)
    assert_blocked(other, db, 80)
    backend.disconnect(worker)
    assert_blocked(worker, db, 80)

"""50 tests with servers of their own, for minirun's plugin."""

import os
from collections.abc import Callable, Iterator

import pytest

from bench.suites.clients import HTTPD, IMAGE, POSTGRES, POSTGRES_READY, REDIS, http_get, query, redis
from minirun.testing import Container, Host, Snapshot, listening, log


@pytest.fixture(scope="session")
def image(host: Host) -> Iterator[str]:
    host.images.import_tree(os.environ["SERVERS"], IMAGE)
    yield IMAGE
    host.client.text("rmi", IMAGE)


@pytest.fixture(scope="session")
def database(host: Host, image: str) -> Iterator[Snapshot]:
    """An empty database, after its slow start."""
    ready = log(POSTGRES_READY)
    with host.run(image, POSTGRES, ports=[5432], ready=ready, flags=["--user", "postgres"]) as first:
        first.stop()  # or each clone would recover, as after a crash
        yield first.snapshot()


@pytest.mark.parametrize("number", range(20))
def test_httpd(container: Callable[..., Container], image: str, number: int) -> None:
    web = container(image, HTTPD, ports=[80], ready=listening(80))
    assert http_get("127.0.0.1", web.port(80)) == "serving\n"


@pytest.mark.parametrize("number", range(15))
def test_redis(container: Callable[..., Container], image: str, number: int) -> None:
    cache = container(image, REDIS, ports=[6379], ready=listening(6379))
    assert redis("127.0.0.1", cache.port(6379), "SET", "key", str(number)) == b"+OK\r\n"
    assert redis("127.0.0.1", cache.port(6379), "GET", "key").endswith(f"\r\n{number}\r\n".encode())


@pytest.mark.parametrize("number", range(15))
def test_postgres(database: Snapshot, number: int) -> None:
    with database.run() as db:
        query("127.0.0.1", db.port(5432), "CREATE TABLE only_mine (number int)")
        assert str(number * 1111).encode() in query("127.0.0.1", db.port(5432), f"SELECT {number} * 1111")

"""The same 50 tests for testcontainers with Docker. Ryuk, which would cost one more container, is switched off."""

import os
import time
from collections.abc import Iterator

import docker
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from bench.suites.clients import HTTPD, IMAGE, POSTGRES, POSTGRES_READY, REDIS, http_get, query, redis


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    client = docker.from_env()
    client.api.import_image_from_file(os.environ["SERVERS"], repository=IMAGE, tag="latest")
    yield IMAGE
    client.images.remove(IMAGE)


def started(image: str, command: list[str], port: int, ready: str, **options: str) -> DockerContainer:
    made = DockerContainer(image, **options).with_command(command).with_exposed_ports(port)
    return made.waiting_for(LogMessageWaitStrategy(ready)) if ready else made


@pytest.mark.parametrize("number", range(20))
def test_httpd(image: str, number: int) -> None:
    with started(image, HTTPD, 80, "") as web:  # it logs nothing: its first answer is what there is to wait for
        assert _first_page("127.0.0.1", int(web.get_exposed_port(80))) == "serving\n"


@pytest.mark.parametrize("number", range(15))
def test_redis(image: str, number: int) -> None:
    with started(image, REDIS, 6379, "Ready to accept connections") as cache:
        port = int(cache.get_exposed_port(6379))
        assert redis("127.0.0.1", port, "SET", "key", str(number)) == b"+OK\r\n"
        assert redis("127.0.0.1", port, "GET", "key").endswith(f"\r\n{number}\r\n".encode())


@pytest.mark.parametrize("number", range(15))
def test_postgres(image: str, number: int) -> None:
    with started(image, POSTGRES, 5432, POSTGRES_READY, user="postgres") as db:
        port = int(db.get_exposed_port(5432))
        query("127.0.0.1", port, "CREATE TABLE only_mine (number int)")
        assert str(number * 1111).encode() in query("127.0.0.1", port, f"SELECT {number} * 1111")


def _first_page(host: str, port: int) -> str:
    """The proxy accepts before the server does: ask until it answers, every 10 ms."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return http_get(host, port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)

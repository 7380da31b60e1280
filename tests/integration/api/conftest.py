"""The API of a throwaway host."""

from collections.abc import Iterator

import pytest

from tests.harness import Host
from tests.harness.api_client import ApiClient


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    with Host() as host:
        host.minirun("run", "--rm", "-v", "/v", "busybox", "true")
        with ApiClient(host) as client:
            yield client
            assert "Traceback" not in client.log(), client.log()[client.log().find("Traceback") - 300 :][:3000]

"""minirun.testing.aio: the same as the synchronous side, and several calls at once."""

import asyncio
import time

import pytest

import minirun.testing as testing
from minirun.testing import aio, listening


def test_a_host_with_containers_a_network_a_fault_and_a_snapshot() -> None:
    asyncio.run(_story())


async def _story() -> None:
    async with aio.Host.throwaway() as host:
        network = await host.network()
        command = ["sh", "-c", "echo hello; exec httpd -f -p 80"]
        web, client = await asyncio.gather(
            host.run("busybox", command, networks=[network], ready=listening(80), name="web"),
            host.run("busybox", ["sleep", "100"], networks=[network], name="client"),
        )
        assert (await web.exec("hostname")).stdout != ""
        assert await web.logs() == "hello\n"
        await aio.assert_reaches(client, web, 80)
        async with network.partition(client, web):
            await aio.assert_blocked(client, web, 80)
        await aio.assert_reaches(client, web, 80)
        began = time.monotonic()
        await asyncio.gather(*(client.exec("sleep", "1") for _ in range(4)))
        assert time.monotonic() - began < 3.5, "side by side"
        snapshot = await client.snapshot()
        async with snapshot.run(["sh", "-c", "sleep 100"]) as fresh:
            assert (await fresh.state()).status == "running"
            assert len(await host.containers()) == 3
        assert {one.sync.id for one in await host.containers()} == {web.sync.id, client.sync.id}
        assert "web" in await host.map()
        with pytest.raises(testing.StartError, match="nope"):
            await host.run("busybox", ["nope"])

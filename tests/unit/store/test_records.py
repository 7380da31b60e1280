"""Records on disk, also those of earlier versions."""

import json
import sqlite3
from ipaddress import IPv4Address
from pathlib import Path

from minirun.model import Attachment, Mode, Mount, NetworkRequest, PortMapping, Spec
from minirun.store import Store

LOCAL = IPv4Address("127.0.0.1")


def test_a_spec_survives_the_record() -> None:
    spec = Spec(
        image="busybox",
        argv=("a", "b"),
        env=(("A", "1"),),
        network=NetworkRequest(Mode.BRIDGE, (Attachment("db", IPv4Address("10.0.0.9"), aliases=("a",)),)),
        ports=(PortMapping(80, 8080, "udp", LOCAL),),
        mounts=(Mount("bind", "/a", "/b", True),),
    )
    assert Spec.from_dict(spec.to_dict()) == spec


def test_the_records_of_version_3_are_read(tmp_path: Path) -> None:
    """A database as the first releases left it: networks, endpoints and specs become those of today."""
    from minirun.store import schema

    db = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    for steps in schema._SCHEMAS[:3]:
        for step in steps:
            assert isinstance(step, str)
            db.executescript(step)
    db.execute("insert into networks values ('n1', 'db', '10.1.0.0/24', '10.1.0.1', 'mr-n1', 1400, 5.0, 7)")
    old = {"image": "busybox", "argv": ["true"], "mac": "02:00:00:00:00:01", "links": [["x", "y"]]}
    asked = {"mode": "bridge", "names": ["db", "bridge"], "address": "10.1.0.9"}
    for identity, more in (
        ("c1", {"network": asked}),
        ("c2", {}),
        ("c3", {"network": {**asked, "mode": "host", "names": []}}),
    ):
        spec = json.dumps({**old, **more})
        db.execute("insert into containers (id, name, spec, created) values (?1, ?1, ?2, 0)", (identity, spec))
    db.execute("insert into endpoints (sandbox, position, network, address, mac) values ('c1', 0, 'n1', 167837705, '')")
    db.execute("pragma user_version=3")
    db.close()
    store = Store(tmp_path)
    network = store.find_network("db")
    assert network
    assert (str(network.subnet), str(network.gateway), network.mtu, network.bridge) == (
        "10.1.0.0/24",
        "10.1.0.1",
        1400,
        "mr-n1",
    )
    assert [str(one.address) for one in store.endpoints(network="n1")] == ["10.1.0.9"]

    def spec_of(identity: str) -> Spec:
        container = store.container(identity)
        assert container
        return container.spec

    first, second = spec_of("c1").network.attachments
    assert (first.network, str(first.address), first.mac, first.links) == ("db", "10.1.0.9", old["mac"], (("x", "y"),))
    assert (second.network, second.address) == ("bridge", None)
    assert spec_of("c2").network.attachments[0].mac == old["mac"]
    assert spec_of("c3").network.mode == "host"

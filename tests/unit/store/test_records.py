"""Records on disk, also those of earlier versions."""

import json
import sqlite3
from dataclasses import asdict
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from minirun.engine.inspect_config import host_config
from minirun.model import Attachment, Logging, Mode, Mount, NetworkRequest, PortMapping, Security, Spec
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


def test_the_images_of_version_8_are_read(tmp_path: Path) -> None:
    """They keep their ids and layers; two layers of one digest keep a directory each."""
    from minirun.image import records
    from minirun.store import schema

    db = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    db.row_factory = sqlite3.Row
    for step in (step for steps in schema._SCHEMAS[:8] for step in steps):
        if callable(step):
            step(db)
        else:
            db.executescript(step)
    digests = ["a" * 64, "b" * 64]
    history = [{"created": 5.5, "created_by": "x", "size": 7}, {"created": 6.0, "comment": "y", "size": 8}]
    whole = {"config": {"Cmd": ["sh"]}, "architecture": "amd64", "history": history, "comment": "c"}
    layers = [["one", digests[0]], ["two", digests[1]]]
    child = {**whole, "parent": "1" * 64, "removed": True}
    for identity, details, its in (
        ("1" * 64, whole, layers),
        ("2" * 64, child, [["one", digests[0]], ["other", digests[1]]]),
    ):
        words = (identity, json.dumps(details), json.dumps(its), 6.0, 15)
        db.execute("insert into images values (?, ?, ?, ?, ?)", words)
    db.execute("insert into tags values ('a:latest', ?)", ("1" * 64,))
    db.execute("pragma user_version=8")
    db.close()
    store = Store(tmp_path)
    first = records.tagged(store, "a:latest")
    assert first is not None
    assert (first.id, first.lower, first.size, first.step_sizes) == ("1" * 64, "layers/two:layers/one", 15, [7, 8])
    assert (first.config, first.document.comment, first.created) == ({"Cmd": ["sh"]}, "c", 6.0)
    assert [step.created for step in first.document.history] == [5.5, 6.0]
    second = records.by_id(store, "2" * 64)
    assert second is not None
    assert (second.parent, second.is_removed, second.lower) == ("1" * 64, True, "layers/other:layers/one")
    assert records.layers_in_use(store) == {"one", "two", "other"}


def test_what_was_asked_for_follows_from_what_is_in_force() -> None:
    """In specs of version 0.2, which have the latter alone."""
    mounts = [
        asdict(Mount("bind", "/a", "/b", read_only=True, propagation="rslave")),
        asdict(Mount("bind", "/c", "/d")),
    ]
    security = asdict(Security(no_new_privileges=True, apparmor="mine", seccomp="{}"))
    logging = asdict(Logging(size=2000, files=3))
    for values, name in ((mounts[0], "modes"), (mounts[1], "modes"), (security, "given"), (logging, "options")):
        del values[name]
    logging["details"] = [["labels", "of"]]
    old: dict[str, Any] = {**Spec(image="x", argv=("y",)).to_dict(), "mounts": mounts}
    shown = host_config(Spec.from_dict({**old, "security": security, "logging": logging}))
    assert shown["Binds"] == ["/a:/b:ro,rslave", "/c:/d"]
    assert shown["SecurityOpt"] == ["no-new-privileges", "apparmor=mine", "seccomp={}"]
    assert shown["LogConfig"]["Config"] == {"max-size": "2000", "max-file": "3", "labels": "of"}


def test_a_reader_sees_one_state(tmp_path: Path) -> None:
    reader, writer = Store(tmp_path), Store(tmp_path)
    with reader.read():
        before = reader.last_event()
        with writer.write():
            writer.add_event("container", "c1", "start", {})
        assert reader.last_event() == before
    assert reader.last_event() > before

"""Subnets of other runtimes, read from their files, whatever is in these."""

import json
import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from minirun.network.ipam import foreign_subnets


def test_networks_of_other_runtimes_are_read_from_their_files(tmp_path: Path) -> None:
    files = {
        "etc/containers/networks/web.json": {"subnets": [{"subnet": "10.89.0.0/24"}, {"subnet": "fd8::/64"}]},
        "etc/cni/net.d/10-a.conf": {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.22.0.0/16"}},
        "etc/cni/net.d/20-b.conflist": {
            "plugins": [{"ipam": {"ranges": [[{"subnet": "10.23.0.0/16", "rangeStart": "10.23.0.9"}]]}}]
        },
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    libvirt = tmp_path / "etc/libvirt/qemu/networks"
    (libvirt / "autostart").mkdir(parents=True)
    (libvirt / "default.xml").write_text(
        "<network><name>default</name><ip address='192.168.122.1' netmask='255.255.255.0'/>"
        "<ip family='ipv6' address='fd7::1' prefix='64'/><route address='10.77.0.0' prefix='16'/></network>"
    )
    (libvirt / "broken.xml").write_text("<network>")
    os.mkfifo(tmp_path / "etc/cni/net.d/30-fifo.conf")  # nobody will write into it
    (tmp_path / "etc/cni/net.d/40-huge.conf").write_bytes(b" " * (1 << 20) + b'{"subnet": "10.1.0.0/16"}')
    (tmp_path / "etc/cni/net.d/50-gone.conf").symlink_to("nowhere")
    (tmp_path / "etc/cni/net.d/60-deep.conf").write_text("[" * 100000)
    found = {str(subnet): owner for subnet, owner in foreign_subnets.foreign_subnets(tmp_path)}
    assert found == {
        "10.88.0.0/16": "podman's default network",
        "10.89.0.0/24": "podman (web.json)",
        "fd8::/64": "podman (web.json)",
        "10.22.0.0/16": "CNI (10-a.conf)",
        "10.23.0.0/16": "CNI (20-b.conflist)",
        "192.168.122.0/24": "libvirt (default.xml)",
        "fd7::/64": "libvirt (default.xml)",
        "10.77.0.0/16": "libvirt (default.xml)",
    }


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["10.0.0.0/8", "10.0.0.0/99", "fd00::/8"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["subnet", "ipam", "ranges"]), inner),
)


@given(st.binary() | json_like.map(lambda value: json.dumps(value).encode()))
def test_no_file_of_others_can_stop_minirun(text: bytes) -> None:
    for found in (foreign_subnets.subnets_in_json(text), foreign_subnets.subnets_in_xml(text)):
        assert all(isinstance(one, IPv4Network | IPv6Network) for one in found)


@given(st.text(), st.text(), st.sampled_from(["ip", "route", "x"]), st.binary(max_size=20))
def test_no_xml_of_others_can_stop_minirun(address: str, mask: str, tag: str, junk: bytes) -> None:
    from xml.sax.saxutils import quoteattr

    text = f"<n><{tag} address={quoteattr(address)} netmask={quoteattr(mask)}/></n>"
    foreign_subnets.subnets_in_xml(text.encode(errors="replace"))
    foreign_subnets.subnets_in_xml(b"<?xml version='1.0' encoding='" + junk + b"'?><n/>")

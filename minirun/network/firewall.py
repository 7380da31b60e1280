"""The nft table: a pure function from records to its whole text, and single-element changes in between.

How a packet meets it:

    guard        (prerouting, raw)     127.0.0.0/8 from anywhere but loopback is dropped: the bridges have
                                       route_localnet on, and without this a neighbour would reach the host's 127.0.0.1
    prerouting   (nat, dstnat)         to an address of this host, with a published port: translate to the container
    output       (nat, -100)           the same for what the host itself sends
    forward      (filter)              into a network: only replies, published ports, and its own members
    postrouting  (nat, srcnat)         out of a network: as the host (MASQUERADE)

A published port is one element of a map, looked up once however many there are. Its key is host address,
protocol and port, so a stale twin cannot exist. Nothing is ever read back to decide.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from minirun.kernel.nft import NftError, nft_apply
from minirun.model import ANY_ADDRESS, Network, Publication
from minirun.store import Store


def render(table: str, networks: Iterable[Network], publications: Iterable[Publication]) -> str:
    """The complete table as one transaction: made if missing, emptied, and defined anew."""
    nets = [net for net in networks if net.bridge]
    ports = list(_each(publications))
    return "\n".join(
        [
            f"table inet {table} {{}}",
            f"delete table inet {table}",
            f"table inet {table} {{",
            '  comment "minirun renders this table from its records; changes by hand are overwritten"',
            *_definition("map sources", "type ipv4_addr : verdict; flags interval", [_source(net) for net in nets]),
            *_definition("map bridges", "type ifname : verdict", [_bridge(net) for net in nets]),
            *_definition("set members", "type ifname", [f'"{net.bridge}"' for net in nets]),
            *_definition(
                "map published",
                "type inet_proto . inet_service : ipv4_addr . inet_service",
                [_element(port) for port in ports if port.mapping.host_address == ANY_ADDRESS],
            ),
            *_definition(
                "map published_at",
                "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
                [_element(port) for port in ports if port.mapping.host_address != ANY_ADDRESS],
            ),
            _BASE,
            *(_chains(net) for net in nets),
            "}",
            "",
        ]
    )


def ensure(store: Store, table: str, networks: Iterable[Network], container: str = "") -> None:
    """Have these networks, and the ports on record for `container`, in force.

    One transaction of single elements. It fails when the table is gone, a network is new, or something stale is in
    the way: then the whole table is rendered. The ports are read under the store's write lock, which is held until
    they are in force: a start that is being taken back meanwhile cannot leave one, and nobody renders an older
    reading of the records over ours.
    """
    with store.write():
        publications = store.ports(container=container) if container else []
        lines = [f"add element inet {table} bridges {{ {_bridge(net)} }}" for net in networks]
        lines += [f"add element inet {table} {_map(port)} {{ {_element(port)} }}" for port in _each(publications)]
        try:
            nft_apply("\n".join(lines))
        except NftError:
            nft_apply(render(table, store.networks(), store.ports()))


def withdraw(store: Store, table: str, publications: Iterable[Publication]) -> None:
    """Take ports out of force. The caller holds the write lock and has deleted their records."""
    lines = [f"delete element inet {table} {_map(port)} {{ {_key(port)} }}" for port in _each(publications)]
    if not lines:
        return
    try:
        nft_apply("\n".join(lines))
    except NftError:
        nft_apply(render(table, store.networks(), store.ports()))


_BASE = """
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 counter drop comment "the host's loopback is not for its neighbours"
    iifname != "lo" ip saddr 127.0.0.0/8 counter drop comment "nobody else speaks as the host's loopback"
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump publish
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }
  chain publish {
    dnat ip to ip daddr . meta l4proto . th dport map @published_at
    dnat ip to meta l4proto . th dport map @published
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    oifname vmap @bridges
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 oifname @members masquerade comment "the host's loopback to a published port"
    ip saddr vmap @sources
  }"""


def _chains(net: Network) -> str:
    return f"""
  chain into_{net.chain} {{
    comment "network {net.name}"
    iifname "{net.bridge}" accept
    ct status dnat accept
    counter drop comment "not published, and not from network {net.name}"
  }}
  chain from_{net.chain} {{
    comment "network {net.name}"
    oifname "{net.bridge}" ct status dnat masquerade comment "back to the own bridge: the reply must pass here"
    oifname @members return
    masquerade
  }}"""


def _each(publications: Iterable[Publication]) -> Iterator[Publication]:
    """A range port by port."""
    for one in publications:
        for step, port in enumerate(one.mapping.host_ports):
            inside = one.mapping.container_port + step
            yield replace(one, mapping=replace(one.mapping, host_port=port, container_port=inside, count=1))


def _definition(name: str, kind: str, elements: list[str]) -> list[str]:
    body = f" elements = {{ {', '.join(sorted(elements))} }};" if elements else ""
    return [f"  {name} {{ {kind};{body}", "  }"]


def _source(net: Network) -> str:
    return f"{net.subnet} : jump from_{net.chain}"


def _bridge(net: Network) -> str:
    return f'"{net.bridge}" : jump into_{net.chain}'


def _map(port: Publication) -> str:
    return "published" if port.mapping.host_address == ANY_ADDRESS else "published_at"


def _key(port: Publication) -> str:
    mapping = port.mapping
    key = f"{mapping.protocol} . {mapping.host_port}"
    return key if mapping.host_address == ANY_ADDRESS else f"{mapping.host_address} . {key}"


def _element(port: Publication) -> str:
    comment = f'comment "{port.container[:12]}"'
    return f"{_key(port)} {comment} : {port.target} . {port.mapping.container_port}"

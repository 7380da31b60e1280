"""The DNS server: one process for each instance, which answers the names of containers on custom networks.

It runs in the host's network namespace, and so queries the host's own resolvers as the host does. Its listening sockets
belong to another namespace, pinned as `minirun-dns`, which holds the address 169.254.53.53 and has a veth to the bridge
of each network (veth.py): a container's query passes none of the host's chains, needs no gateway, and its source
address tells who asks.

    container            bridge                  minirun-dns                   host
    127.0.0.11 by ethN   becomes 169.254.53.53   169.254.53.53:53 (socket) --> this process --> 127.0.0.53, ...
    (a route, no rule)   (firewall/antispoof.py) ^ no forwarding here

It lives as long as somebody holds a connection to its control socket in the state root: the shim of each container on
custom networks does. When it dies, the shims notice, and one of them starts it again (server_control.py). The same
process watches the networks for damage (network/repair/watch.py).

The rest of `network`, `engine` and `shim` call veth and server_control; the other modules run in the server's process.
They read the store and call `kernel`.

server_control.py   connects to the server, starts it, removes its namespace
process.py          the process: its event loop, and when it ends
server.py           queries by UDP and TCP, and their replies
records.py          which client asks, and which names it knows
upstream.py         queries to other DNS servers
message.py          the wire format
veth.py             how a network's bridge reaches the server
"""

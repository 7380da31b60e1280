"""The resolver: one process for all of an instance, which answers the names of containers on custom networks.

It lives in the host's network namespace, and so asks the host's own resolvers as the host does. Its listening sockets
are of another one, pinned as `minirun-dns`, which holds the address 169.254.53.53 and has a leg on the bridge of each
network (network/names.py): a container's query passes no chain of the host's, needs no gateway, and its source address
says who asks.

    container            bridge        minirun-dns                   host
    169.254.53.53 by -->        -->    169.254.53.53:53 (socket) --> this process --> 127.0.0.53, 192.0.2.1, ...
    ethN                               ^ no forwarding here

It lives as long as somebody has a connection to its socket `resolver` in the state root: each monitor of a container on
custom networks has one. When it dies, the monitors see that, and one of them starts it again (life.py).

The same process looks after the networks (network/watching.py).

life.py         starting it, reaching it, taking its namespace away
process.py      the process: its parts, their turn, its end
service.py      questions by UDP and TCP, and their answers
directory.py    who asks, and whom that one knows by which name
upstream.py     asking others
message.py      what a question and an answer look like
"""

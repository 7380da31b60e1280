"""IPAM: the choice of subnets for networks and of addresses for endpoints.

The rest of `network` calls it, inside the transaction that records the network or endpoint; `config` defines the pools'
form. It reads the store and the kernel's routes, and changes nothing on the host. The arithmetic (allocator, subnets)
is pure; allocations and pools ask the store, the kernel and the files of other runtimes and pass the answers in.
"""

"""The only room that touches the kernel: namespaces, mounts, links, nftables, cgroups, capabilities, processes.

Every room above may call it, with plain values; it imports nothing of minirun but errors.py. An operation that changes
something is annotated with the equivalent shell command (seam.py), and raises OSError with errno.
"""

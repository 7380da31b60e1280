"""Diagnose problems: each finding has its evidence and what to do about it.

findings.py          what a check reports
host_checks.py       the kernel, IP forwarding, MTU, overlapping subnets, rules of minirun and of other firewalls
container_checks.py  which addresses programs listen on, and whether a packet to each published port arrives
leftovers.py         interfaces, files and cgroups that no record mentions
"""

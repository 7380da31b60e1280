"""minirun doctor: what is amiss, with the evidence for it, and what to do.

findings.py    what a finding is
host.py        the kernel, the host as a router, others' rules
leftovers.py   what is there and belongs to nobody on record
containers.py  who listens where, and whether packets arrive
"""

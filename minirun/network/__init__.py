"""Networks, and the part of a container that is in them: modes, drivers, addresses, ports, firewall, DNS, repair.

The engine and the shim call `network/operations.py` and nothing else here; commands also create and remove networks
(`networks.py`) and bare namespaces (`namespaces.py`). This room calls the records (`store`) and the kernel (`kernel`);
of the engine it knows only what is passed to it (`update.py`).
"""

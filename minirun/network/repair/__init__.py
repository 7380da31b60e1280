"""Repair of networks that something else has damaged: rules flushed, bridges or veths deleted or set down.

Called by every command (through `network/operations.py`), by `network reload` and by the DNS server's process. Calls
whatever a start calls, with the records as its only input.
"""

"""Show the work: what a command does to the kernel, how networks are connected, where a packet goes, what is wrong.

The command line (cli) calls it. It may call every room below: it reads records, asks the kernel, and follows the
operations that the kernel room reports through kernel/seam.py. No room below knows it.
"""

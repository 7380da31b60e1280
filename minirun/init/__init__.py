"""What runs in a process of the container, from its birth up to execve: its first process, and those of exec.

The shim and exec fork into it; it calls only kernel, the plain data of model and security, and errors. From pivot_root
on, every path belongs to the image. Nothing may be imported, looked up by name or executed there (CVE-2019-14271):
whatever these modules need is imported at their top, before the process is made.
"""

"""What runs in the container's first process, from its birth up to execve.

From pivot_root on, every path belongs to the image. Nothing may be imported, looked up by name or executed there
(CVE-2019-14271): whatever these modules need is imported at their top, before the process is made.
"""

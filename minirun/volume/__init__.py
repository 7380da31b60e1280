"""Volumes: trees that outlive the containers which write to them, and the plan of a container's mounts.

A volume is ROOT/volumes/NAME/_data or, if created with `o=bind`, a directory of the host. records.py reads and writes
the table, volumes.py creates and removes, mount_plan.py prepares mounts, copy_up.py fills an empty volume.
The command line and the engine call this room, which calls archive, store and the kernel's file operations.
"""

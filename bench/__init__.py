"""Wall time of whole commands, minirun beside Docker and podman. Standard library only: it runs before any setup.

run          the command
outside.py   on the machine: options, namespaces, and what must be taken back afterwards
cgroups.py   a cgroup of its own in every hierarchy, so that no engine writes beside it
inside.py    in the namespaces: an init, file systems that are thrown away, then the measuring
contenders.py  the three engines, each with its image and one running container
measure.py   the rows and the clock
report.py    the table
"""

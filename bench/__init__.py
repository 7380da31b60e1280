"""minirun beside Docker and podman, and beside what the kernel itself takes. Standard library only: no setup is needed.

run          the command
outside.py   on the machine: options, namespaces, and what must be taken back afterwards
cgroups.py   a cgroup of its own in every hierarchy, so that no engine writes beside it
inside.py    in the namespaces: an init, file systems that are thrown away, then the measuring
namespaces.py  a host of its own for each engine, and a neighbour on a cable
contenders.py  the three engines, each with its image and one running container
floor.py     no engine: Python's start, SQLite, and floor.c (with rtnetlink.h), the kernel's part of one container
clock.py     one command timed, or many at once

rows.py      every row: its unit, its words, what is asked of it
targets.py   how that is judged
commands.py  the rows that are one command
traffic.py   TCP by a published port and across a bridge; endpoint.py is both of its ends
scale.py     100 containers, 1000 ports, 1000 containers
pytest_suites.py  a suite of 50 tests, and suites/ with its two versions
memory.py    what a container costs beside its own memory

results.py   the numbers, and as JSON
facts.py     the machine and the versions
report.py    the tables; plot.py draws them
"""

"""Volumes: trees that outlive the containers which write to them.

records.py      the record: which there are, and who uses them
keeping.py      making and removing them
preparing.py    what a container's mounts need before it starts
filling.py      an empty volume takes over what the image has at its place
describing.py   in Docker's shape

A volume is ROOT/volumes/NAME/_data, or for one that was made with `o=bind` a directory of the host's. One that is
removed is first moved to ROOT/removed, together with its record; what a crash leaves there, the next command removes.
"""

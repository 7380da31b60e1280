"""The files inside a container, for cp, diff and export.

A container's tree is hostile: every path in it may be a symlink, and may become one between two looks. So nothing of
minirun on the host ever resolves a path in it. jail.py forks a child that makes the tree its root, and the two halves
talk by a tar stream through a pipe; pack.py and unpack.py do the same work on either side of it.
"""

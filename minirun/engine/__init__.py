"""A container's life: create, start, stop, remove, exec, update, copy, commit, inspect; and cleanup when a step fails.

The command line, the shim and the diagnostics call it. It calls network, volume, image and archive for their parts,
the store for the record, init for the plan that a first process reads, and kernel for processes and cgroups.
"""

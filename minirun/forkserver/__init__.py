"""The fork server: a process that has imported everything, and forks a worker for each command.

The launcher (csrc/launcher.c) connects to it; `__main__` gives it the command line to run. What is above this room does
not know how it was started: `cli` asks `control` about the server, and `shim` asks `location` for the launcher. It
calls `kernel` and `errors` alone, and holds no state of any container.
"""

"""Show what a command does to the kernel: while it runs (`minirun --explain run ...`), or in a throwaway copy of the
host (`minirun explain run ...`).

The source is kernel/seam.py, where each operation is annotated with the equivalent shell command. So the output shows
what was done, by which process, when, and how long it took.

recorder.py   records the operations of all processes of a command
steps.py      the step that an operation belongs to, why it is needed, and which of Docker's programs does it
render.py     prints them as text, as JSON, or as a shell script
dry_run.py    runs a command in a throwaway copy of the host
"""

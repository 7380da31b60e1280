"""Show what a command does to the kernel: while it runs (`minirun --explain run ...`), or in a throwaway copy of the
host (`minirun explain run ...`).

The source is kernel/seam.py, where each operation is annotated with the equivalent shell command. So the output shows
what was done, by which process, when, and how long it took.

recorder.py      records the operations of all processes of a command
rule_changes.py  what an operation changed in the nftables tables
steps.py         the steps: why each is needed, and which of Docker's programs does it
primitives.py    which step an operation belongs to, and which ones are details
story.py         the short form: causal order, the commands that matter, rules as differences
render.py        prints that, all steps in full, or JSON; script.py: a shell script
host_copy.py     the copy of the host for a rehearsal: records, network, containers
dry_run.py       rehearses a command there
"""

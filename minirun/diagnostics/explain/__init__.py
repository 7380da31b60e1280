"""What a command does to the kernel: shown while it does it (`minirun --explain run ...`), or done in a throwaway copy
of the host (`minirun explain run ...`).

All of it comes from the seam (kernel/seam.py), where each operation says the shell command that does the same. So what
is shown is what was done, by which process, when, and how long it took.

recorder.py   writes it down, in all processes of a command
steps.py      which step of a container's life an operation belongs to, why it is taken, and who takes it in Docker
telling.py    as text, as JSON, as a shell script
rehearsal.py  a throwaway host to do it in
"""

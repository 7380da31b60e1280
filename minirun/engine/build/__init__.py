"""`build`: the steps of a Dockerfile, executed.

builder.py plans the stages and runs them side by side, stage.py goes through the steps of one, run.py has RUN, which is
a container, and run_mounts.py what RUN --mount mounts. The front end (image/dockerfile/) says what the steps are; COPY,
the cache and the snapshots are in image/build/.
"""

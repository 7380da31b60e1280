"""What a build does to files: its context, COPY and ADD, the snapshots that its steps leave, the cache of them.

image/dockerfile/ says what the steps are, engine/build/ runs them: RUN needs a container.
"""

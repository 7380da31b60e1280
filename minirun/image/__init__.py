"""Images: their records, their layers, and the configuration that containers take from them.

records.py reads and writes the tables, layers.py owns the directories, create.py and remove.py change both; resolve.py
finds the image that a user's reference means, and builds busybox (busybox.py) on first use. dockerfile/ reads
Dockerfiles, instructions.py applies an instruction to a configuration. The command line and the engine call this room,
which calls archive, options, store and the kernel's file operations.
"""

"""Which system calls a container may make: profiles in Docker's JSON format, and the programs that are made of them.

default.json   what holds where nothing else is said
profile.py     reads a profile, whoever wrote it
compiling.py   a profile, for a set of capabilities, as a program for the kernel
keeping.py     programs are kept: compiling takes 10 ms, reading 0.1
"""

"""What confines a container besides namespaces and capabilities: a seccomp filter and an AppArmor profile.

default.json and apparmor.profile are what applies by default; seccomp_profile.py reads a profile in Docker's format,
seccomp_compiler.py makes a BPF program of it for a set of capabilities, and seccomp_cache.py keeps the programs. The
engine and the options room call this one, which calls instance, model and the kernel.
"""

"""Tar streams, tree copies and a chroot child, for trees that nobody trusts: those of containers and images.

Every path in such a tree may be a symlink, and may become one between two looks, so minirun never resolves one on the
host: chroot.py forks a child whose root is the tree, and the two exchange a tar stream through a pipe; pack.py and
unpack.py do the same work on either side of it. The engine, image and volume rooms call this one with plain data
(directories, mounts, a process); it knows no images, volumes or containers, and calls only init and the kernel.
"""

"""A lab: everything that minirun does, in namespaces of an ordinary user (`minirun lab`).

Only the command line calls it; other rooms read `facts` to explain what a lab cannot do. It imports neither typer nor
pyroute2: the start of a lab takes less time than these.
"""

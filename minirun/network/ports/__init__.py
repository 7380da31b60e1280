"""Published ports: which host ports a container gets, reserving them, and changing them while it runs.

Called by the network's operations and modes. Calls the firewall, which translates, and the
kernel, which has the sockets.
"""

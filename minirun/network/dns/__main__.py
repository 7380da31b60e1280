"""`python -m minirun.network.dns STATE_ROOT`: what life.py starts, with the sockets in place."""

import sys

from minirun.network.dns.process import main

main(sys.argv[1])

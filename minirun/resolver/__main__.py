"""`python -m minirun.resolver STATE_ROOT`: what life.py starts, with the sockets in place."""

import sys

from minirun.resolver.process import main

main(sys.argv[1])

"""The same 50 tests twice: by_testcontainers.py with Docker, and by_minirun.py with minirun's plugin for pytest.

prepare.py   fetches what both need, before the bench enters its namespaces
clients.py   what the tests ask of the servers, for both
"""

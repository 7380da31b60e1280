"""Tests of minirun.testing, from the outside: test suites of users, run on throwaway hosts."""

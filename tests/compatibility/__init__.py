"""How much of Docker's API minirun's service speaks, measured by other projects' clients and their own tests.

Nothing of those projects is kept here: `peers` fetches them at run time. `stage` makes a throwaway host with one engine
on a socket, `recorder` sits between the clients and the engine, `suites` start the tests, `outcomes` judges them.
`scripts/compatibility` starts all of it.
"""

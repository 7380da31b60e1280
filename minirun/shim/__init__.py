"""The shim: one small process a container. It makes the container's first process, carries its streams, writes its log,
waits for it, restarts it, and cleans up at the end.

The command line forks it before it opens the state; it calls the engine for records and cleanup, network for what may
change while it runs, init for the first process, and kernel. How it works with the others:

    command                         shim                                 container's first process
    PLAN, sockets of the ports -->  cgroup, clone           -->          builds its tree
    sets up the network
    GO                         -->  (waits for both)        <--  R       is ready
                                    one byte                -->          becomes the program
    STARTED                    <--  end of file on the error pipe
    STDIN, RESIZE, SIGNAL      -->
                               <--  OUT, ERR
    EXITED                     <--  records, cleans up      <--          ends

If the command ends before GO, the start is undone; afterwards the container goes on without it. If the shim is killed,
the kernel kills the container (PR_SET_PDEATHSIG), and the next command cleans up.

prefork.py            how its process begins
main.py               from the plan to the end
container_process.py  one run of the program; streams.py its pipes or terminal
clients.py            the commands that are connected
restart_policy.py     when to start again
idle.py               how it waits at no cost; state.py how it reaches the database
"""

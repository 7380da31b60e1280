"""The monitor: one small process a container. It makes the container's first process, carries its streams, writes
its log, waits for it, starts it again if it should, and takes everything back at the end.

It is forked from the command before anything heavy is imported, so that it stays small and its own imports overlap
the command's. The dance:

    command                         monitor                              container's first process
    PLAN, sockets of the ports -->  cgroup, clone           -->          builds its tree
    wires the network
    GO                         -->  (waits for both)        <--  R       is ready
                                    one byte                -->          becomes the program
    STARTED                    <--  end of file on the error pipe
    STDIN, RESIZE, SIGNAL      -->
                               <--  OUT, ERR
    EXITED                     <--  records, takes back     <--          ends

If the command goes before GO, the start is taken back; afterwards the container goes on without it. If the monitor
goes, the kernel kills the container (PR_SET_PDEATHSIG), and the next command finds both dead and takes back the rest.

waiting.py      before there is a plan
tending.py      the story from the plan to the end
program.py      one run of the program
clients.py      who looks on
restarting.py   when to start again
"""

/* What an idle shim becomes: it waits for any of its files, and then becomes the shim again.
 *
 *     MINIRUN_SLEEPER_FILES=5,7,9 MINIRUN_SLEEPER_PYTHON=PATH MINIRUN_SLEEPER_SCRIPT=TEXT
 *     MINIRUN_SLEEPER_LAUNCHER=PATH MINIRUN_SLEEPER_MEMORY=11 sleeper [WORD...]
 *
 * When one of FILES, which are descriptors, has something to read, or has ended, PYTHON runs SCRIPT with all of them
 * open. So it does when SIGTERM comes, which is blocked here and pending for whoever takes over. The words are for ps(1).
 *
 * The first of FILES is the pidfd of the container's first process. Its end is all that most shims wake up for, and a
 * Python that starts takes 0.3 s. So this process reaps it, and becomes the launcher (launcher.c), by which a worker of
 * the fork server does the rest: `minirun shim-end MEMORY CODE`. Without LAUNCHER, as with a restart policy, PYTHON does;
 * and when somebody has connected to the second of FILES, the listener, perhaps because the policy changes.
 *
 * Why it exists: a Python process that waits holds 6 MB; this holds 0.1. The process stays the same one, with its number,
 * its children and its place in the container's record: execve(2) changes none of these.
 *
 * Static, like the stub: what a thousand of these need of their own is a dozen pages each.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum { MOST = 64 };

static int numbers(const char *text, struct pollfd *files)
{
    int count = 0;
    char *rest;
    while (*text && count < MOST - 1) {
        files[count].fd = (int)strtol(text, &rest, 10);
        files[count++].events = POLLIN;
        text = *rest == ',' ? rest + 1 : rest;
    }
    return count;
}

/* Whether the container's first process has ended. At its end its files are closed a moment before. */
static int has_ended(struct pollfd *files, int count)
{
    int hung_up = 0;
    for (int i = 2; i < count; i++)
        hung_up |= files[i].revents & POLLHUP;
    return files[0].revents || (hung_up && poll(files, 1, 50) == 1);
}

/* Reap the container's first process if it has ended, and have its end seen to. Returns only when it is not done. */
static void hand_over(int process, const char *launcher, const char *memory)
{
    siginfo_t end = {0};
    char code[16];
    if (waitid(P_PIDFD, (id_t)process, &end, WEXITED | WNOHANG) < 0 || end.si_pid == 0)
        return;
    /* as a shell and Docker count */
    snprintf(code, sizeof code, "%d", end.si_code == CLD_EXITED ? end.si_status : 128 + end.si_status);
    setenv("MINIRUN_SLEEPER_CODE", code, 1); /* for SCRIPT, should the launcher be gone */
    execl(launcher, "minirun", "shim-end", memory, code, (char *)NULL);
}

int main(void)
{
    const char *list = getenv("MINIRUN_SLEEPER_FILES"), *python = getenv("MINIRUN_SLEEPER_PYTHON");
    const char *script = getenv("MINIRUN_SLEEPER_SCRIPT"), *launcher = getenv("MINIRUN_SLEEPER_LAUNCHER");
    const char *memory = getenv("MINIRUN_SLEEPER_MEMORY");
    struct pollfd files[MOST];
    sigset_t end;
    int count;
    if (!list || !python || !script)
        return 2;
    count = numbers(list, files);
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    files[count].fd = signalfd(-1, &end, SFD_CLOEXEC);
    files[count++].events = POLLIN;
    while (poll(files, (nfds_t)count, -1) < 0 && errno == EINTR)
        ;
    if (launcher && memory && count > 2 && !files[1].revents && has_ended(files, count))
        hand_over(files[0].fd, launcher, memory);
    for (;;) {
        execl(python, python, "-IS", "-c", script, (char *)NULL);
        sleep(1); /* it is being replaced, or there is no memory: without it nobody watches over the container */
    }
}

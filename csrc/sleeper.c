/* What an idle shim becomes: it waits for any of its files, and then becomes the shim again.
 *
 *     MINIRUN_SLEEPER_FILES=5,7,9 MINIRUN_SLEEPER_PYTHON=PATH MINIRUN_SLEEPER_SCRIPT=TEXT sleeper [WORD...]
 *
 * When one of FILES, which are descriptors, has something to read, or has ended, PYTHON runs SCRIPT with all of them
 * open. So it does when SIGTERM comes, which is blocked here and pending for whoever takes over. The words are for ps(1).
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
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

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

int main(void)
{
    const char *list = getenv("MINIRUN_SLEEPER_FILES"), *python = getenv("MINIRUN_SLEEPER_PYTHON");
    const char *script = getenv("MINIRUN_SLEEPER_SCRIPT");
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
    for (;;) {
        execl(python, python, "-IS", "-c", script, (char *)NULL);
        sleep(1); /* it is being replaced, or there is no memory: without it nobody watches over the container */
    }
}

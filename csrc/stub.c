/* The last program of minirun's own that a container's first process is: it becomes the payload.
 *
 *     payload-stub ERROR_FD INIT PROFILE PROGRAM ARGV0 [ARG...]
 *
 * Why it exists: until the payload is exec'd, /proc/self/exe is whatever runs us. Were that the host's python,
 * an image whose entrypoint starts with "#!/proc/self/exe" would be handed a host binary it can overwrite
 * (CVE-2019-5736). This stub runs from a sealed memfd that nobody can write.
 *
 * ERROR_FD is close-on-exec from here on: end of file there means that the exec worked, four bytes mean errno.
 * PROFILE is the AppArmor profile that confines the payload, "" for none.
 * INIT is 1 for --init: stay as pid 1, forward signals, reap orphans, and leave with the child's status.
 *
 * Static, so that no loader and no library of the image ever runs on its behalf.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(int fd)
{
    int why = errno;
    ssize_t ignored = write(fd, &why, sizeof why);
    (void)ignored;
    _exit(127);
}

/* With the execve that follows (apparmor(7), aa_change_onexec(2)). The kernel takes the word from nobody but the process
 * itself, and only from a file of the real proc: a fake one would let the payload out unconfined (CVE-2019-16884). */
static int confine(const char *profile)
{
    static const char *const places[] = {"/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"};
    char word[300] = "exec ";
    struct statfs fs;
    size_t length = strlen(profile);
    int fd = -1, place;
    if (length > sizeof word - sizeof "exec ") {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(word + 5, profile, length);
    for (place = 0; place < 2 && fd < 0; place++)
        fd = open(places[place], O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fstatfs(fd, &fs) < 0)
        return -1;
    if (fs.f_type != PROC_SUPER_MAGIC) {
        errno = EXDEV;
        return -1;
    }
    return write(fd, word, length + 5) < 0 ? -1 : close(fd);
}

static void become(int fd, char **argv)
{
    if (!*argv[0] || confine(argv[0]) == 0)
        execve(argv[1], argv + 2, environ);
    fail(fd);
}

/* pid 1 must reap whatever is handed to it, and a signal without a handler never reaches pid 1. */
static int reap(pid_t child, sigset_t *all)
{
    for (;;) {
        siginfo_t info;
        int status, code = -1;
        pid_t pid;
        if (sigwaitinfo(all, &info) < 0)
            continue;
        if (info.si_signo != SIGCHLD) {
            kill(child, info.si_signo);
            continue;
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            if (pid == child)
                code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (code >= 0)
            return code;
    }
}

int main(int argc, char **argv)
{
    sigset_t all, none;
    pid_t child;
    int fd;
    if (argc < 6)
        return 125;
    fd = atoi(argv[1]);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (argv[2][0] != '1')
        become(fd, argv + 3);

    sigfillset(&all);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &all, NULL);
    child = fork();
    if (child < 0)
        fail(fd);
    if (child == 0) {
        setpgid(0, 0); /* the terminal's foreground group, so that job control and Ctrl-C reach it */
        tcsetpgrp(0, getpid()); /* fails without a terminal; SIGTTOU is still blocked here */
        sigprocmask(SIG_SETMASK, &none, NULL);
        become(fd, argv + 3);
    }
    close(fd);
    return reap(child, &all);
}

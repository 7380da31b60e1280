/* `minirun` on the PATH: has the fork server run the command line, or executes Python for it.
 *
 *     minirun WORD...   -->   /run/minirun/HASH.socket   or   ../libexec/minirun WORD...
 *
 * The fork server (minirun/forkserver/) is a Python process that has imported everything. It forks a worker for each
 * command; the worker receives the words, environment, directories and all open files of this process, copies its
 * other attributes, and runs the command line. From then on this process forwards signals to the worker, stops when it
 * stops, and ends as it ends.
 *
 * Whatever cannot be handed over is a reason to execute Python (`plain`), which runs the same command line, slower.
 * That is possible until the worker is told to go on (GO): before, it has only prepared itself.
 *
 * The messages are those of minirun/forkserver/request.py. No memory is allocated.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY "/run/minirun"
enum {
    MOST_FILES = 4096,    /* open files that are handed over */
    FILES_A_MESSAGE = 250, /* the kernel takes 253 (SCM_MAX_FD) */
    STEP = 200,           /* ms between looks at a server that has not answered */
    BACKLOG = 4096,       /* launchers that wait for a worker */
    PATIENCE = 20000,     /* ms for a server that runs, on a busy machine */
    REPORT_PATIENCE = 5000, /* ms for the server to say how a worker ended */
    BLIND_PATIENCE = 10000, /* ms for one whose state cannot be seen from here: a start of Python would add to the load */
    SEND_TIMEOUT = 5,     /* s without progress */
    SHORT = 500,          /* ms: a command that takes longer is moved to this process's cgroup */
};

struct request { /* in the machine's byte order: both ends are on one machine */
    char magic[8];
    uint32_t body; /* bytes that follow: the numbers of the files, the words and the environment, each ended by a 0 */
    uint32_t files; /* descriptors: this process, its root and its working directory; then the open files */
    uint32_t words;
    uint32_t variables;
    uint64_t ignored; /* signals, as in /proc/PID/status */
    uint64_t blocked;
};

#define MAGIC "minirun1"
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1U << 2) /* linux/pidfd.h, since 6.9 */
#endif
enum kind { READY = 'R', PLAIN = 'P', STOPPED = 'S', DONE = 'D', CODE = 'C', ENDED = 'E' };
struct reply {
    char kind;
    int32_t value;  /* STOPPED: a signal; DONE, CODE: an exit code; ENDED: a status of wait(2); PLAIN: whether to replace it */
    char text[120]; /* PLAIN: why */
};

extern char **environ;
static char program[PATH_MAX], server_program[PATH_MAX], socket_path[sizeof((struct sockaddr_un *)0)->sun_path];
static char lock_path[sizeof socket_path], log_path[sizeof socket_path], code_path[sizeof socket_path];
static char **words;
static sigset_t callers_mask;
static int files[MOST_FILES], file_count;

/* --- the plain start */

__attribute__((noreturn)) static void plain(const char *why)
{
    const char *debug = getenv("MINIRUN_DEBUG");
    if (debug && *debug && why)
        dprintf(2, "minirun: without the fork server: %s\n", why);
    sigprocmask(SIG_SETMASK, &callers_mask, NULL);
    words[0] = program;
    execve(program, words, environ);
    dprintf(2, "minirun: cannot execute %s: %s\n", program, strerror(errno));
    _exit(125);
}

/* Where things are: all follows from the path of this program. The hash is FNV-1a. */
static void find_paths(void)
{
    static char self[PATH_MAX - 64];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0 || length >= (ssize_t)sizeof self - 1) {
        dprintf(2, "minirun: cannot find itself: /proc is not mounted\n");
        _exit(125);
    }
    uint64_t hash = 14695981039346656037ULL;
    for (ssize_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)self[i]) * 1099511628211ULL;
    for (int cut = 0; cut < 2 && length > 0; cut++) /* /bin/minirun */
        do
            length--;
        while (length > 0 && self[length] != '/');
    self[length] = 0;
    snprintf(program, sizeof program, "%s/libexec/minirun", self);
    snprintf(server_program, sizeof server_program, "%s/libexec/minirun-forkserver", self);
    snprintf(socket_path, sizeof socket_path, DIRECTORY "/%016llx.socket", (unsigned long long)hash);
    snprintf(lock_path, sizeof lock_path, DIRECTORY "/%016llx.lock", (unsigned long long)hash);
    snprintf(code_path, sizeof code_path, DIRECTORY "/%016llx.code", (unsigned long long)hash);
    snprintf(log_path, sizeof log_path, DIRECTORY "/%016llx.log", (unsigned long long)hash);
}

/* --- what this process has */

/* The numbers of all open files. There are no others: nothing has been opened yet. */
static const char *list_files(void)
{
    static char entries[8192];
    int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return "cannot read /proc/self/fd";
    for (;;) {
        long size = syscall(SYS_getdents64, directory, entries, sizeof entries);
        if (size < 0)
            return "cannot read /proc/self/fd";
        if (size == 0)
            break;
        for (long at = 0; at < size;) {
            const char *entry = entries + at; /* struct linux_dirent64: inode, offset, length (u16), type, name */
            uint16_t length;
            memcpy(&length, entry + 16, sizeof length);
            const char *name = entry + 19;
            at += length;
            int number = *name == '.' ? directory : atoi(name);
            if (number == directory)
                continue;
            if (file_count == MOST_FILES)
                return "there are too many open files";
            files[file_count++] = number;
        }
    }
    close(directory);
    return NULL;
}

static bool is_utf8(const char *locale)
{
    const char *dot = strchr(locale, '.');
    return !strcmp(locale, "C") || !strcmp(locale, "POSIX") ||
           (dot && (!strncasecmp(dot, ".utf-8", 6) || !strncasecmp(dot, ".utf8", 5)));
}

/* What of the attributes of a process /proc does not show, and a worker therefore could not copy or compare. */
static const char *oddity(void)
{
    const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *locale = getenv(names[i]);
        if (locale && *locale) {
            if (!is_utf8(locale))
                return "the locale's encoding is not UTF-8";
            break;
        }
    }
    if (prctl(PR_GET_SECUREBITS) != 0)
        return "securebits are set";
    if (prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) > 0)
        return "huge pages are disabled";
    int subreaper = 0;
    if (prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0 && subreaper)
        return "it is a child subreaper";
    /* landlock(7) shows nowhere, but forbids all mounts: it says so before it is found that this one cannot be. */
    if (mount(NULL, "/", NULL, MS_SHARED | MS_PRIVATE, NULL) < 0 && (errno == EPERM || errno == EACCES))
        return "it may not mount";
    int policy = MPOL_DEFAULT;
    if (syscall(SYS_get_mempolicy, &policy, NULL, 0, NULL, 0) == 0 && policy != MPOL_DEFAULT)
        return "a memory policy is set";
    for (int fd = 0; fd < 3; fd++) {
        pid_t group;
        if (ioctl(fd, TIOCGPGRP, &group) == 0 && group != getpgrp())
            return "it runs in the background of a terminal"; /* which would stop it at a read; a worker has no part in that */
    }
    return NULL;
}

static uint64_t bits(const sigset_t *set)
{
    uint64_t mask = 0;
    for (int number = 1; number <= 64; number++)
        if (sigismember(set, number) == 1)
            mask |= 1ULL << (number - 1);
    return mask;
}

static void find_ignored(sigset_t *ignored)
{
    sigemptyset(ignored);
    for (int number = 1; number <= 64; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            sigaddset(ignored, number);
    }
}

/* --- starting a server */

static bool is_directory_ours(void)
{
    struct stat status;
    return lstat(DIRECTORY, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == 0 && !(status.st_mode & 077);
}

static bool read_proc(pid_t pid, const char *name, char *text, size_t most)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t size = read(file, text, most - 1);
    close(file);
    text[size > 0 ? size : 0] = 0;
    return size > 0;
}

static bool read_stat(pid_t pid, char *state, pid_t *parent)
{
    char text[512];
    if (!read_proc(pid, "stat", text, sizeof text))
        return false;
    const char *after_name = strrchr(text, ')'); /* proc_pid_stat(5) */
    int number;
    if (!after_name || sscanf(after_name, ") %c %d", state, &number) != 2)
        return false;
    *parent = number;
    return true;
}

/* The value of a line of /proc/PID/status; 0 when there is none. */
static uint64_t status_value(const char *status, const char *name)
{
    const char *line = strstr(status, name);
    return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

/* Whether a server that this process starts suits the other commands of the machine. It inherits what cannot be given
 * back, and a command that differs from its server in that goes the plain way (minirun/kernel/process_attributes.py). */
static bool is_fit_to_start(void)
{
    static char own[8192], first[8192];
    if (getgid() != 0 || getegid() != 0 || !read_proc(getpid(), "status", own, sizeof own))
        return false;
    uint64_t bounding = status_value(own, "\nCapBnd:");
    if (status_value(own, "\nCapInh:") || status_value(own, "\nCapAmb:") || status_value(own, "\nNoNewPrivs:") ||
        status_value(own, "\nSeccomp:") || status_value(own, "\nCapEff:") != bounding ||
        status_value(own, "\nCapPrm:") != bounding)
        return false;
    if (read_proc(1, "status", first, sizeof first) && status_value(first, "\nCapBnd:") != bounding)
        return false;
    return !read_proc(1, "personality", first, sizeof first) ||
           strtoul(first, NULL, 16) == (unsigned long)personality(0xffffffff);
}

/* The process whose namespaces and root directory a server takes: pid 1. A server must keep no other ones in use, such
 * as those of `ip netns exec`. Where pid 1 is out of reach, as in some sandboxes, its nearest descendant is taken. */
static int open_anchor(int *root)
{
    int process = -1;
    char state;
    *root = -1;
    for (pid_t pid = getpid(); pid > 0;) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
        int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), opened = syscall(SYS_pidfd_open, pid, 0);
        if (directory >= 0 && opened >= 0) {
            close(*root);
            close(process);
            *root = directory;
            process = opened;
        } else {
            close(directory);
            close(opened);
        }
        pid_t parent;
        if (!read_stat(pid, &state, &parent))
            break;
        pid = parent > 0 || pid == 1 ? parent : 1; /* a process that nsenter(1) has put here has no parent */
    }
    return process;
}

/* The socket of the server that this process becomes. Who connects before it has imported its code waits in the queue,
 * which costs less than a plain start of each. */
static int listen_for_launchers(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, socket_path, sizeof address.sun_path);
    unlink(code_path); /* a killed server's, as the socket is: whoever comes here holds the lock */
    unlink(socket_path);
    umask(0177);
    bool is_bound = listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0;
    umask(022);
    return is_bound && listen(listener, BACKLOG) == 0 ? listener : -1;
}

/* In a process of its own, which nobody waits for: it becomes the server, unless there is one already, or one starts. The
 * descriptors that minirun/forkserver/server.py gets: 3, the lock, and 4, the socket. `is_listening`: a pipe. */
__attribute__((noreturn)) static void become_server(int anchor, int root, int is_listening)
{
    static char padding[4096]; /* bytes for the command lines of workers */
    if (setsid() < 0 ||
        syscall(SYS_setns, anchor, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP) < 0 ||
        fchdir(root) < 0 || chroot(".") < 0)
        _exit(1);
    umask(022);
    if ((mkdir(DIRECTORY, 0700) < 0 && errno != EEXIST) || !is_directory_ours())
        _exit(1);
    int lock = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        _exit(1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    int listener = listen_for_launchers();
    if (listener < 0 || write(is_listening, "L", 1) != 1)
        _exit(1);
    close(is_listening);
    lock = fcntl(lock, F_DUPFD_CLOEXEC, 10); /* clear of the numbers that are filled next */
    null = fcntl(null, F_DUPFD_CLOEXEC, 10);
    log = fcntl(log, F_DUPFD_CLOEXEC, 10);
    listener = fcntl(listener, F_DUPFD_CLOEXEC, 10);
    if (lock < 0 || null < 0 || log < 0 || listener < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log, 2) < 0 ||
        dup2(lock, 3) < 0 || dup2(listener, 4) < 0)
        _exit(1);
    if (syscall(SYS_close_range, 5, ~0U, 0) < 0)
        _exit(1);
    for (int number = 0; number < RLIM_NLIMITS; number++) { /* not those of who happens to come first */
        struct rlimit limit;
        if (prlimit(1, number, NULL, &limit) == 0)
            setrlimit(number, &limit); /* without CAP_SYS_RESOURCE they stay, and a command that has more replaces it */
    }
    for (int number = 1; number <= 64; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    memset(padding, ' ', sizeof padding - 1);
    char *arguments[] = {server_program, socket_path, padding, NULL};
    char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    execve(server_program, arguments, environment);
    _exit(1);
}

/* Return whether a server was started and listens. There may be one that was started by another process. */
static bool start_server(void)
{
    int root, listening[2];
    char word;
    ssize_t got;
    if (access(server_program, X_OK) < 0 || !is_fit_to_start() || pipe2(listening, O_CLOEXEC) < 0)
        return false;
    int anchor = open_anchor(&root);
    pid_t child = anchor < 0 ? -1 : fork();
    if (child == 0) {
        if (fork() == 0)
            become_server(anchor, root, listening[1]);
        _exit(0);
    }
    close(anchor);
    close(root);
    close(listening[1]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    while ((got = read(listening[0], &word, 1)) < 0 && errno == EINTR)
        ;
    close(listening[0]);
    return got == 1;
}

/* --- asking a server */

static int connect_to_server(pid_t *server, const char **why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = SEND_TIMEOUT};
    struct ucred peer;
    socklen_t length = sizeof peer;
    *why = "none is running";
    if (access(DIRECTORY, F_OK) < 0)
        return -1;
    if (!is_directory_ours()) {
        *why = DIRECTORY " is not a directory that only root can enter";
        errno = EPERM;
        return -1;
    }
    int channel = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, socket_path, sizeof address.sun_path);
    if (channel < 0 || connect(channel, (struct sockaddr *)&address, sizeof address) < 0) {
        if (errno == EAGAIN)
            *why = "too many commands are waiting for it";
    } else if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.uid != 0) {
        *why = "what listens there is not root's";
        errno = EPERM;
    } else if (setsockopt(channel, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0 || fcntl(channel, F_SETFL, 0) < 0) {
        *why = "its socket cannot be used";
    } else {
        *server = peer.pid;
        return channel;
    }
    int error = errno;
    close(channel);
    errno = error;
    return -1;
}

/* Whether a process sees the same files as this one. */
static bool shares_mounts(pid_t pid)
{
    char path[64], own[64] = "", theirs[64] = "";
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
    return pid > 0 && readlink("/proc/self/ns/mnt", own, sizeof own - 1) > 0 &&
           readlink(path, theirs, sizeof theirs - 1) > 0 && !strcmp(own, theirs);
}

/* Have the server end once its commands have, and start the next one; where pid 1 listens, systemd does (see
 * packaging/minirun-forkserver.socket). One that serves others, who see other files, is left to them. */
static void replace_server(void)
{
    pid_t server = 0;
    const char *why;
    int channel = connect_to_server(&server, &why);
    struct pollfd hangup = {.fd = channel};
    if (channel >= 0 && !shares_mounts(server)) {
        close(channel);
        return;
    }
    if (channel >= 0 && send(channel, "stop....", 8, MSG_NOSIGNAL) == 8)
        poll(&hangup, 1, STEP);
    close(channel);
    if (server != 1)
        start_server();
}

static bool send_files(int channel, const void *data, size_t size, const int *numbers, int count)
{
    union {
        char space[CMSG_SPACE(FILES_A_MESSAGE * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {(void *)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), numbers, count * sizeof(int));
    }
    return sendmsg(channel, &message, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool send_all(int channel, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(channel, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        size -= sent;
    }
    return true;
}

static bool send_strings(int channel, char *const *strings)
{
    static char buffer[65536];
    size_t used = 0;
    for (; *strings; strings++) {
        size_t length = strlen(*strings) + 1;
        if (used + length > sizeof buffer) {
            if (!send_all(channel, buffer, used))
                return false;
            used = 0;
        }
        if (length > sizeof buffer) {
            if (!send_all(channel, *strings, length))
                return false;
            continue;
        }
        memcpy(buffer + used, *strings, length);
        used += length;
    }
    return send_all(channel, buffer, used);
}

static size_t measure(char *const *strings, uint32_t *count)
{
    size_t size = 0;
    for (*count = 0; *strings; strings++, ++*count)
        size += strlen(*strings) + 1;
    return size;
}

static const char *send_request(int channel, const sigset_t *ignored)
{
    static int numbers[3 + MOST_FILES];
    struct request request = {.magic = MAGIC, .ignored = bits(ignored), .blocked = bits(&callers_mask)};
    numbers[0] = syscall(SYS_pidfd_open, getpid(), 0);
    numbers[1] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    numbers[2] = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (numbers[0] < 0 || numbers[1] < 0 || numbers[2] < 0)
        return "a directory or the process itself cannot be handed over";
    memcpy(numbers + 3, files, file_count * sizeof *files);
    request.files = 3 + file_count;
    size_t body = file_count * sizeof *files + measure(words, &request.words) + measure(environ, &request.variables);
    request.body = body;
    if (body > UINT32_MAX)
        return "the environment is too large";
    int sent = request.files < FILES_A_MESSAGE ? (int)request.files : FILES_A_MESSAGE;
    const size_t said = sizeof request.magic;
    bool is_sent = send_files(channel, (char *)&request + said, sizeof request - said, numbers, sent);
    while (is_sent && sent < (int)request.files) {
        int more = (int)request.files - sent < FILES_A_MESSAGE ? (int)request.files - sent : FILES_A_MESSAGE;
        is_sent = send_files(channel, "", 1, numbers + sent, more);
        sent += more;
    }
    for (int i = 0; i < 3; i++)
        close(numbers[i]);
    if (!is_sent)
        return "an open file cannot be handed over";
    if (!send_all(channel, (char *)files, file_count * sizeof *files) || !send_strings(channel, words) ||
        !send_strings(channel, environ))
        return "it does not read";
    return NULL;
}

/* What comes with READY: the worker's pidfd; the end of a pipe, whose other end tells the worker that this process has
 * ended; and the file cgroup.procs of this process's v2 cgroup. -1: it did not come. */
struct given {
    int worker, life, group;
};

/* One reply, and the descriptors that came with it. False at the end of the connection. */
static bool receive(int channel, struct reply *reply, struct given *given)
{
    size_t got = 0;
    *given = (struct given){-1, -1, -1};
    while (got < sizeof *reply) {
        union {
            char space[CMSG_SPACE(sizeof *given)];
            struct cmsghdr align;
        } control;
        struct iovec part = {(char *)reply + got, sizeof *reply - got};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
        ssize_t size = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return false;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
            memcpy(given, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
        got += size;
    }
    reply->text[sizeof reply->text - 1] = 0;
    return true;
}

static bool is_stopped(pid_t pid)
{
    char state;
    pid_t parent;
    return !read_stat(pid, &state, &parent) || strchr("TtZX", state);
}

static bool is_time(const uint64_t *noted, const struct timespec *time)
{
    return noted[0] == (uint64_t)time->tv_sec && noted[1] == (uint64_t)time->tv_nsec;
}

/* Whether the server has the code that Python would be started with here: the files of which it has noted the stamps
 * (minirun/forkserver/server.py, code_stamps). */
static bool is_current(void)
{
    static char notes[1 << 18];
    ssize_t size = 0, got;
    int file = open(code_path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    while ((got = read(file, notes + size, sizeof notes - size)) > 0)
        size += got;
    close(file);
    if (got < 0 || size == 0 || size == sizeof notes || notes[size - 1])
        return false;
    for (const char *at = notes; at < notes + size;) {
        uint64_t noted[5];
        struct stat now;
        if (notes + size - at <= (ssize_t)sizeof noted)
            return false;
        memcpy(noted, at, sizeof noted);
        at += sizeof noted;
        if (stat(at, &now) < 0 || noted[0] != now.st_dev || noted[1] != now.st_ino || noted[2] != (uint64_t)now.st_size ||
            (!is_time(noted + 3, &now.st_ctim) && !is_time(noted + 3, &now.st_mtim)))
            return false;
        at += strlen(at) + 1;
    }
    return true;
}

static void require_current(int channel)
{
    if (is_current())
        return;
    close(channel);
    replace_server();
    plain("its code is not what is installed now");
}

/* Wait until there is something to read from the server. */
static const char *await_answer(int channel, pid_t server)
{
    struct pollfd wait = {.fd = channel, .events = POLLIN};
    int waited = 0;
    for (;;) {
        int ready = poll(&wait, 1, STEP);
        if (ready > 0)
            return NULL;
        if (ready < 0 && errno != EINTR)
            return "its socket cannot be used";
        waited += STEP;
        if (waited >= (server > 0 ? PATIENCE : BLIND_PATIENCE) || (server > 0 && is_stopped(server)))
            return "it does not answer";
    }
}

/* Have a worker take this process's request. Files are sent to one that reads alone: those that wait in a socket are open
 * for as long as it is, and whoever reads a pipe from here would not see its end. */
static const char *await_worker(int channel, pid_t server)
{
    char hello;
    const char *why;
    if (!send_all(channel, MAGIC, sizeof MAGIC - 1))
        return "it hung up";
    if ((why = await_answer(channel, server)))
        return why;
    return recv(channel, &hello, 1, 0) == 1 && hello == 'H' ? NULL : "it hung up";
}

static const char *await_ready(int channel, pid_t server, struct given *given, bool *is_poor)
{
    static struct reply reply;
    const char *why = await_answer(channel, server);
    if (why)
        return why;
    if (!receive(channel, &reply, given))
        return "it hung up";
    if (reply.kind == READY && given->worker >= 0)
        return NULL;
    *is_poor = reply.kind == PLAIN && reply.value;
    return reply.kind == PLAIN ? reply.text : "its worker failed";
}

/* `minirun system stop-server` and `reset`: what stops the server is not run by it, and starts none. */
static bool is_about_the_server(void)
{
    return words[0] && words[1] && words[2] && !strcmp(words[1], "system") &&
           (!strcmp(words[2], "stop-server") || !strcmp(words[2], "reset"));
}

/* --- while the worker runs */

static void close_all_but(const int *kept, int count)
{
    int last = -1;
    for (int i = 0; i < count; i++)
        last = kept[i] > last ? kept[i] : last;
    for (int number = 0; number < last; number++) {
        bool is_kept = false;
        for (int i = 0; i < count; i++)
            is_kept |= kept[i] == number;
        if (!is_kept)
            close(number);
    }
    syscall(SYS_close_range, last + 1, ~0U, 0);
}

/* Move the worker to this process's v2 cgroup, of which `group` is cgroup.procs. What it has forked so far stays where it
 * is: a container's process has a cgroup of its own. */
static void take_along(int worker, int group)
{
    char text[512], path[64], *at;
    snprintf(path, sizeof path, "fdinfo/%d", worker);
    if (!read_proc(getpid(), path, text, sizeof text) || !(at = strstr(text, "\nPid:")))
        return;
    int pid = atoi(at + 5);
    if (pid > 0) /* else it cannot be seen from here */
        dprintf(group, "%d", pid);
}

/* End by the signal that ended the worker, without a second core dump. */
__attribute__((noreturn)) static void end_by(int number)
{
    sigset_t one;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    signal(number, SIG_DFL);
    sigemptyset(&one);
    sigaddset(&one, number);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    kill(getpid(), number);
    _exit(128 + number);
}

/* Stop as the worker did. When this returns, it is to go on: somebody has continued this process, or the signal had no
 * effect, as in an orphaned process group. */
static void stop_by(int number)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    signal(number, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    kill(getpid(), number);
    sigprocmask(SIG_BLOCK, &one, NULL);
}

/* Before Linux 6.9 a process group has no pidfd: then it is for the worker alone. */
static void forward_to_group(int worker, int number)
{
    if (syscall(SYS_pidfd_send_signal, worker, number, NULL, PIDFD_SIGNAL_PROCESS_GROUP) < 0 && errno == EINVAL)
        syscall(SYS_pidfd_send_signal, worker, number, NULL, 0);
}

/* What a terminal sends (Ctrl-C, Ctrl-Z, a new size) is for all processes of a command; the worker leads their group. */
static void forward(int worker, const struct signalfd_siginfo *info)
{
    if (info->ssi_code == SI_KERNEL)
        forward_to_group(worker, (int)info->ssi_signo);
    else
        syscall(SYS_pidfd_send_signal, worker, (int)info->ssi_signo, NULL, 0);
}

__attribute__((noreturn)) static void accompany(int channel, int signals, int worker, int group)
{
    static struct reply reply;
    int code = -1;
    struct given none;
    bool is_moved = false; /* to a cgroup that the caller may want to remove */
    struct pollfd waits[] = {
        {.fd = channel, .events = POLLIN}, {.fd = signals, .events = POLLIN}, {.fd = worker, .events = POLLIN}};
    for (;;) {
        int ready = poll(waits, 3, waits[2].fd < 0 ? REPORT_PATIENCE : group >= 0 ? SHORT : -1);
        if (ready < 0)
            continue;
        if (ready == 0 && waits[2].fd >= 0) {
            take_along(worker, group);
            close(group);
            group = -1;
            is_moved = true;
            continue;
        }
        if (ready == 0) /* a signal ended the worker, and the server does not say which */
            end_by(SIGKILL);
        if (waits[1].revents) {
            struct signalfd_siginfo info;
            if (read(signals, &info, sizeof info) == sizeof info)
                forward(worker, &info);
        }
        if (!waits[0].revents) { /* all that the worker has said has been read */
            if (waits[2].revents && code >= 0)
                _exit(code);
            if (waits[2].revents)
                waits[2].fd = -1;
            continue;
        }
        if (!receive(channel, &reply, &none)) /* worker and server are both gone */
            code >= 0 ? _exit(code) : end_by(SIGKILL);
        if (reply.kind == DONE && !is_moved)
            _exit(reply.value);
        if (reply.kind == DONE || reply.kind == CODE)
            code = reply.value;
        if (reply.kind == STOPPED) {
            stop_by(reply.value);
            forward_to_group(worker, SIGCONT);
        }
        if (reply.kind == ENDED) {
            if (WIFSIGNALED(reply.value))
                end_by(WTERMSIG(reply.value));
            _exit(WEXITSTATUS(reply.value));
        }
    }
}

int main(int argc, char **argv)
{
    sigset_t all, ignored, forwarded;
    pid_t server = 0;
    struct given given;
    bool is_poor = false;
    const char *switched = getenv("MINIRUN_FORKSERVER"), *why;
    static char *no_words[] = {program, NULL};
    words = argc > 0 ? argv : no_words;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &callers_mask); /* what comes from here on is for the worker, or for Python */
    find_paths();
    if (switched && !strcmp(switched, "off"))
        plain("MINIRUN_FORKSERVER=off");
    if (geteuid() != 0 || getuid() != 0)
        plain("only root has one");
    if (is_about_the_server())
        plain("it is to stop");
    if ((why = list_files()) || (why = oddity()))
        plain(why);
    int channel = connect_to_server(&server, &why);
    if (channel < 0 && (errno == ENOENT || errno == ECONNREFUSED)) { /* the latter: it was killed, its socket is left */
        if (start_server())
            plain(why); /* Python does this command before it has imported what the server imports */
        channel = connect_to_server(&server, &why);
    }
    if (channel < 0)
        plain(why);
    if (server > 1 && is_stopped(server)) /* it would keep the files that are sent now open, and with them pipes */
        plain("it does not answer");
    find_ignored(&ignored);
    forwarded = all;
    for (int number = 1; number <= 64; number++)
        if (number == SIGCHLD || sigismember(&ignored, number) == 1)
            sigdelset(&forwarded, number);
    if ((why = await_worker(channel, server)) || (why = send_request(channel, &ignored)))
        plain(why);
    bool is_starting = access(code_path, F_OK) < 0; /* it listens already, and notes its code soon */
    if (!is_starting)
        require_current(channel); /* while the worker prepares itself */
    if ((why = await_ready(channel, server, &given, &is_poor))) {
        close(channel);
        if (is_poor)
            replace_server();
        plain(why);
    }
    if (is_starting)
        require_current(channel);
    int signals = signalfd(-1, &forwarded, SFD_CLOEXEC);
    if (signals < 0)
        plain("signals cannot be forwarded");
    if (!send_all(channel, "G", 1))
        plain("it hung up");
    int kept[] = {channel, signals, given.worker, given.life, given.group};
    close_all_but(kept, sizeof kept / sizeof *kept);
    accompany(channel, signals, given.worker, given.group);
}

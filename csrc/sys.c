/* The system calls that Python has no wrapper for, one function each, with nothing decided here.
 *
 * Raw syscall(2) throughout: glibc gained wrappers for the mount calls only in 2.36, Ubuntu 22.04 has 2.35,
 * and <sys/mount.h> cannot be included together with <linux/mount.h>.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* clone3(2). The child returns 0 into the Python that called: like fork, but Python's fork handlers do not
 * run, so the caller must be single-threaded (a second thread could hold a lock that the child never sees
 * released). cgroup_fd < 0 leaves the child in its parent's cgroup. */
static int sys_clone3(unsigned long long flags, int *pidfd, int cgroup_fd)
{
    struct clone_args args;
    memset(&args, 0, sizeof args);
    args.flags = flags | CLONE_PIDFD;
    args.pidfd = (uintptr_t)pidfd;
    args.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD; /* with CLONE_PARENT it is the caller's own */
    if (cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)cgroup_fd;
    }
    return syscall(SYS_clone3, &args, sizeof args);
}

#define NICE_END 10 /* as in kernel/processes.py */

/* clone3(2), as a sibling that uses the caller's memory (vfork(2)): of the two, only the new process returns. The
 * caller's process waits in the kernel until the new one has executed a program or ended. Then it writes the new one's
 * pid, as it sees it, to the descriptor `tell`, as an int, and ends: its stack has been written to meanwhile, so it calls
 * nothing. No signal is handled in between. It is nice before, as the end takes 2 ms: whoever is woken goes first.
 *
 * pid: where the new process finds that number. Returns 0, or -1 in the caller when there is no new process. */
static int sys_clone_and_leave(unsigned long long flags, int cgroup_fd, int tell, int *pid)
{
    static int told;
    struct clone_args args;
    sigset_t all, mask;
    memset(&args, 0, sizeof args);
    args.flags = flags | CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_PARENT_SETTID;
    args.parent_tid = (uintptr_t)pid;
    if (cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)cgroup_fd;
    }
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &mask);
#if defined __x86_64__
    long result = SYS_clone3;
    struct clone_args *first = &args;
    size_t second = sizeof args;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jle 1f\n\t"
                     "mov %%eax, (%[told])\n\t"
                     "xor %%edi, %%edi\n\t" /* PRIO_PROCESS */
                     "xor %%esi, %%esi\n\t"
                     "mov %[nice], %%edx\n\t"
                     "mov %[setpriority], %%eax\n\t"
                     "syscall\n\t"
                     "mov %[tell], %%edi\n\t"
                     "mov %[told], %%rsi\n\t"
                     "mov %[size], %%edx\n\t"
                     "mov %[write], %%eax\n\t"
                     "syscall\n\t"
                     "mov %[exit], %%eax\n\t"
                     "xor %%edi, %%edi\n\t"
                     "syscall\n"
                     "1:"
                     : "+a"(result), "+D"(first), "+S"(second)
                     : [tell] "r"(tell), [told] "r"(&told), [size] "i"(sizeof told), [write] "i"(SYS_write),
                       [exit] "i"(SYS_exit_group), [setpriority] "i"(SYS_setpriority), [nice] "i"(NICE_END)
                     : "rcx", "rdx", "r11", "memory", "cc");
#elif defined __aarch64__
    register long number __asm__("x8") = SYS_clone3;
    register long result __asm__("x0") = (long)&args;
    register long second __asm__("x1") = sizeof args;
    __asm__ volatile("svc 0\n\t"
                     "cmp x0, 0\n\t"
                     "b.le 1f\n\t"
                     "str w0, [%[told]]\n\t"
                     "mov x0, 0\n\t" /* PRIO_PROCESS */
                     "mov x1, 0\n\t"
                     "mov x2, %[nice]\n\t"
                     "mov x8, %[setpriority]\n\t"
                     "svc 0\n\t"
                     "mov w0, %w[tell]\n\t"
                     "mov x1, %[told]\n\t"
                     "mov x2, %[size]\n\t"
                     "mov x8, %[write]\n\t"
                     "svc 0\n\t"
                     "mov x8, %[exit]\n\t"
                     "mov x0, 0\n\t"
                     "svc 0\n"
                     "1:"
                     : "+r"(result), "+r"(second), "+r"(number)
                     : [tell] "r"(tell), [told] "r"(&told), [size] "i"(sizeof told), [write] "i"(SYS_write),
                       [exit] "i"(SYS_exit_group), [setpriority] "i"(SYS_setpriority), [nice] "i"(NICE_END)
                     : "x2", "memory", "cc");
#else
#error "minirun runs on x86-64 and on arm64"
#endif
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (result < 0) {
        errno = -result;
        return -1;
    }
    return 0;
}

static int sys_unshare(int flags) { return syscall(SYS_unshare, flags); }
static int sys_ioprio_get(int which, int who) { return syscall(SYS_ioprio_get, which, who); }
static int sys_ioprio_set(int which, int who, int priority) { return syscall(SYS_ioprio_set, which, who, priority); }
static int sys_setns(int fd, int nstype) { return syscall(SYS_setns, fd, nstype); }

static int sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    return syscall(SYS_mount, source, target, type, flags, data);
}

static int sys_umount2(const char *target, int flags) { return syscall(SYS_umount2, target, flags); }

static int sys_pivot_root(const char *new_root, const char *put_old)
{
    return syscall(SYS_pivot_root, new_root, put_old);
}

static int sys_fsopen(const char *type, unsigned int flags) { return syscall(SYS_fsopen, type, flags | FSOPEN_CLOEXEC); }

static int sys_fsconfig(int fd, unsigned int cmd, const char *key, const char *value, int aux)
{
    return syscall(SYS_fsconfig, fd, cmd, key, value, aux);
}

static int sys_fsmount(int fd, unsigned int flags, unsigned int attributes)
{
    return syscall(SYS_fsmount, fd, flags | FSMOUNT_CLOEXEC, attributes);
}

static int sys_open_tree(int dirfd, const char *path, unsigned int flags)
{
    return syscall(SYS_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC);
}

static int sys_move_mount(int from_fd, const char *from_path, int to_fd, const char *to_path, unsigned int flags)
{
    return syscall(SYS_move_mount, from_fd, from_path, to_fd, to_path, flags);
}

static int sys_mount_setattr(int dirfd, const char *path, unsigned int flags,
                             unsigned long long set, unsigned long long clear)
{
    struct mount_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.attr_set = set;
    attr.attr_clr = clear;
    return syscall(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof attr);
}

static int sys_mount_idmap(int dirfd, unsigned int flags, int userns_fd)
{
    struct mount_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.attr_set = MOUNT_ATTR_IDMAP;
    attr.userns_fd = userns_fd;
    return syscall(SYS_mount_setattr, dirfd, "", flags, &attr, sizeof attr);
}

static int sys_mount_propagate(int dirfd, unsigned int flags, unsigned long long propagation)
{
    struct mount_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.propagation = propagation;
    return syscall(SYS_mount_setattr, dirfd, "", flags, &attr, sizeof attr);
}

static int sys_openat2(int dirfd, const char *path, unsigned long long flags,
                       unsigned long long mode, unsigned long long resolve)
{
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = flags;
    how.mode = mode;
    how.resolve = resolve;
    return syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

static int sys_bpf(int command, void *attributes, unsigned int size)
{
    return syscall(SYS_bpf, command, attributes, size);
}

static int sys_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
    return syscall(SYS_close_range, first, last, flags);
}

static int sys_madvise(uintptr_t address, size_t length, int advice)
{
    return syscall(SYS_madvise, address, length, advice);
}

static int sys_processor(void) { return sched_getcpu(); }

static int sys_munmap(uintptr_t address, size_t length) { return syscall(SYS_munmap, address, length); }

static int sys_execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
    return syscall(SYS_execveat, fd, path, argv, envp, flags);
}

/* They return the ids before, also when they change nothing: so ask whether it was done (setfsuid(2)). */
static int sys_setdomainname(const char *name, size_t length) { return syscall(SYS_setdomainname, name, length); }

static int sys_setfsids(unsigned int uid, unsigned int gid)
{
    syscall(SYS_setfsgid, gid);
    syscall(SYS_setfsuid, uid);
    if ((unsigned int)syscall(SYS_setfsgid, -1) == gid && (unsigned int)syscall(SYS_setfsuid, -1) == uid)
        return 0;
    errno = EPERM;
    return -1;
}

/* An anonymous session keyring, so the container does not share the caller's keys (keyctl(2)). */
static int sys_join_session_keyring(void)
{
    return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ? -1 : 0;
}

/* A socket that only holds its port: every packet that would reach it is dropped (socket(7), SO_ATTACH_FILTER). */
static int sys_drop_all_packets(int fd)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/* All dispositions to default and nothing blocked: what a program expects to be started with (signal(7)). */
static int sys_clear_signals(void)
{
    sigset_t none;
    int number;
    for (number = 1; number < NSIG; number++)
        signal(number, SIG_DFL); /* fails for KILL and STOP, which have no other disposition */
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

static void wait_for_sigcont(int number)
{
    sigset_t awaited;
    int saved = errno;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCONT);
    sigwait(&awaited, &number);
    errno = saved;
}

/* Pid 1 of a namespace is not stopped by SIGTSTP (pid_namespaces(7)), so it waits for SIGCONT in a handler. A handler
 * in Python would run too late if the signal came just before a read(2): that read takes what is typed to the shell. */
static int sys_wait_when_stopped(void)
{
    struct sigaction action = {.sa_handler = wait_for_sigcont, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGCONT); /* blocked meanwhile, as sigwait(3) asks */
    return sigaction(SIGTSTP, &action, NULL);
}

static int sys_filesystem_magic(int fd, unsigned long *magic)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return -1;
    *magic = (unsigned long)fs.f_type;
    return 0;
}

struct symbol {
    const char *name;
    void **slot;
};

/* NULL, also when it was loaded before; else why not. */
static const char *load(const char *file, const struct symbol *symbols, size_t count)
{
    static char problem[128];
    void *library;
    size_t i;
    if (*symbols[count - 1].slot)
        return NULL;
    library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return dlerror();
    for (i = 0; i < count; i++) {
        *symbols[i].slot = dlsym(library, symbols[i].name);
        if (!*symbols[i].slot) {
            *symbols[count - 1].slot = NULL;
            snprintf(problem, sizeof problem, "%s lacks %s", file, symbols[i].name);
            return problem;
        }
    }
    return NULL;
}

/* libnftables by dlopen: `none`, `host` and `container:` never pay for it, and building needs no headers. */
static struct {
    void *(*ctx_new)(unsigned int);
    void (*ctx_free)(void *);
    int (*buffer_output)(void *);
    int (*buffer_error)(void *);
    const char *(*get_output)(void *);
    const char *(*get_error)(void *);
    void (*show)(void *, unsigned int);
    int (*run)(void *, const char *);
} nft;

static const char *nft_load(void)
{
    static const struct symbol symbols[] = {
        {"nft_ctx_new", (void **)&nft.ctx_new},
        {"nft_ctx_free", (void **)&nft.ctx_free},
        {"nft_ctx_buffer_output", (void **)&nft.buffer_output},
        {"nft_ctx_buffer_error", (void **)&nft.buffer_error},
        {"nft_ctx_get_output_buffer", (void **)&nft.get_output},
        {"nft_ctx_get_error_buffer", (void **)&nft.get_error},
        {"nft_ctx_output_set_flags", (void **)&nft.show},
        {"nft_run_cmd_from_buffer", (void **)&nft.run},
    };
    return load("libnftables.so.1", symbols, sizeof symbols / sizeof *symbols);
}

/* The context belongs to the network namespace of the calling thread. */
static void *nft_open(void)
{
    void *ctx = nft.ctx_new(0);
    if (ctx && (nft.buffer_output(ctx) || nft.buffer_error(ctx))) {
        nft.ctx_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

static void nft_close(void *ctx) { nft.ctx_free(ctx); }
static int nft_run(void *ctx, const char *commands) { return nft.run(ctx, commands); }
static void nft_show(void *ctx, unsigned int flags) { nft.show(ctx, flags); }
static const char *nft_output(void *ctx) { return nft.get_output(ctx); }
static const char *nft_error(void *ctx) { return nft.get_error(ctx); }

/* libseccomp by dlopen: only to compile a profile, which is seldom, for the outcome is kept. */
struct scmp_arg_cmp {
    unsigned int arg;
    int op;
    uint64_t datum_a;
    uint64_t datum_b;
};

static struct {
    void *(*init)(uint32_t);
    void (*release)(void *);
    int (*arch_add)(void *, uint32_t);
    int (*attr_set)(void *, int, uint32_t);
    int (*resolve)(const char *);
    int (*resolve_arch)(uint32_t, const char *);
    int (*add)(void *, uint32_t, int, unsigned int, const struct scmp_arg_cmp *);
    int (*export_bpf)(const void *, int);
} scmp;

#define SCMP_UNKNOWN (-1) /* __NR_SCMP_ERROR */
#define SCMP_FLTATR_CTL_OPTIMIZE 8
#define SCMP_BINARY_TREE 2

static const char *scmp_load(void)
{
    static const struct symbol symbols[] = {
        {"seccomp_init", (void **)&scmp.init},
        {"seccomp_release", (void **)&scmp.release},
        {"seccomp_arch_add", (void **)&scmp.arch_add},
        {"seccomp_attr_set", (void **)&scmp.attr_set},
        {"seccomp_syscall_resolve_name", (void **)&scmp.resolve},
        {"seccomp_syscall_resolve_name_arch", (void **)&scmp.resolve_arch},
        {"seccomp_rule_add_array", (void **)&scmp.add},
        {"seccomp_export_bpf", (void **)&scmp.export_bpf},
    };
    return load("libseccomp.so.2", symbols, sizeof symbols / sizeof *symbols);
}

/* `arches` are those beside the native one. */
static void *scmp_open(uint32_t default_action, uint32_t *arches, unsigned int count)
{
    void *filter = scmp.init(default_action);
    unsigned i;
    int problem = 0;
    if (!filter)
        return NULL;
    scmp.attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, SCMP_BINARY_TREE); /* since 2.5; without, it is a list */
    for (i = 0; i < count && !problem; i++)
        problem = scmp.arch_add(filter, arches[i]);
    if (problem) {
        scmp.release(filter);
        return NULL;
    }
    return filter;
}

static void scmp_close(void *filter) { scmp.release(filter); }
static int scmp_resolve(uint32_t arch, const char *name) { return scmp.resolve_arch(arch, name); }
static int scmp_export(void *filter, int fd) { return scmp.export_bpf(filter, fd); }

/* 1: the library does not know a system call of that name. */
static int scmp_add(void *filter, uint32_t action, const char *name, unsigned int count,
                    const struct scmp_arg_cmp *comparisons)
{
    int number = scmp.resolve(name);
    return number == SCMP_UNKNOWN ? 1 : scmp.add(filter, action, number, count, comparisons);
}

static int sys_seccomp(const void *program, unsigned int instructions)
{
    struct sock_fprog filter = {(unsigned short)instructions, (struct sock_filter *)program};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}

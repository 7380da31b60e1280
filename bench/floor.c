/* The kernel's part of `run --rm busybox true`, without any runtime: what no engine can be faster than by much.
 *
 *     floor WORK ROOT BRIDGE [CGROUP...]      BRIDGE - is --net=none
 *
 * It makes what a container is made of (a group in each CGROUP, the namespaces, an overlay on ROOT below WORK, the
 * mounts of /proc, /sys and /dev, a new root, a veth whose peer is born in the container, an address, a route), has
 * the program run, and takes everything back. No records, no rules, no seccomp, no log. Any failure ends it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[128], place[256];
static int id; /* of the container: the parent's pid */

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    _exit(1);
}

/* A path below the container's directory. One buffer: used at once, never kept. */
static const char *at(const char *name)
{
    snprintf(place, sizeof place, "%s/%s", base, name);
    return place;
}

#include "rtnetlink.h"

/* --- the container's first process --- */

static void mount_at(const char *type, const char *name, unsigned long flags, const char *data)
{
    must((!mkdir(name, 0755) || errno == EEXIST) && !mount(type, name, type, flags, data), name);
}

static void file_systems(const char *lower)
{
    const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    char layers[512];
    must(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount --make-rprivate /");
    snprintf(layers, sizeof layers, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, base, base);
    must(!mount("overlay", at("root"), "overlay", MS_NODEV, layers), "mount -t overlay");
    must(!chdir(at("root")), "cd root");
    mount_at("proc", "proc", safe, NULL);
    mount_at("sysfs", "sys", safe | MS_RDONLY, NULL);
    mount_at("cgroup2", "sys/fs/cgroup", safe | MS_RDONLY, NULL);
    mount_at("tmpfs", "dev", MS_NOSUID | MS_NOEXEC, "mode=755,size=65536k");
    mount_at("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
    mount_at("mqueue", "dev/mqueue", safe, NULL);
    mount_at("tmpfs", "dev/shm", safe, "mode=1777,size=65536k");
    must(!syscall(SYS_pivot_root, ".", ".") && !umount2(".", MNT_DETACH) && !chdir("/"), "pivot_root");
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd >= 0 && write(fd, text, strlen(text)) > 0, path);
    close(fd);
}

static void cgroup_path(char *path, size_t size, const char *parent, const char *file)
{
    snprintf(path, size, "%s/floor%d%s", parent, id, file);
}

/* v1. A process moves itself there, by thread: for cgroup.procs, or another's id, the kernel first waits until no fork
 * is under way anywhere, and that is one RCU grace period: 8 ms. */
static void enter_cgroups(char **cgroups)
{
    char path[256];
    for (; *cgroups; cgroups++) {
        cgroup_path(path, sizeof path, *cgroups, "/tasks");
        if (!access(path, F_OK))
            write_text(path, "0");
    }
    must(!unshare(CLONE_NEWCGROUP), "unshare --cgroup");
}

/* It mounts while its parent makes the cable; then it waits for that. */
static void first_process(const char *lower, char **cgroups, int cabled, int with_bridge)
{
    static char *const argv[] = {"true", NULL}, *const envp[] = {"PATH=/bin", NULL};
    int netlink = netlink_open();
    char byte;
    enter_cgroups(cgroups);
    link_up(netlink, 1);
    file_systems(lower);
    must(read(cabled, &byte, 1) == 1, "waiting for the cable");
    if (with_bridge)
        address_and_route(netlink);
    execve("/bin/true", argv, envp);
    must(0, "execve");
}

/* --- the parent --- */

/* v2: born in its group. */
static int unified(char **cgroups)
{
    char path[256];
    for (; *cgroups; cgroups++) {
        cgroup_path(path, sizeof path, *cgroups, "/cgroup.controllers");
        if (!access(path, F_OK)) {
            cgroup_path(path, sizeof path, *cgroups, "");
            return open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        }
    }
    return -1;
}

static pid_t clone_container(char **cgroups)
{
    struct clone_args args = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET,
        .exit_signal = SIGCHLD,
    };
    int group = unified(cgroups);
    pid_t pid;
    if (group >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group;
    }
    pid = syscall(SYS_clone3, &args, sizeof args);
    must(pid >= 0, "clone3");
    if (pid && group >= 0)
        close(group);
    return pid;
}

/* The namespace gets a name, as below /run/netns: a file that it is mounted on. Returns a descriptor of it. */
static int netns_pin(pid_t pid)
{
    char source[64];
    int fd = open(at("netns"), O_CREAT | O_RDONLY | O_CLOEXEC, 0444);
    close(fd);
    snprintf(source, sizeof source, "/proc/%d/ns/net", pid);
    must(!mount(source, place, NULL, MS_BIND, NULL), "ip netns attach");
    fd = open(place, O_RDONLY | O_CLOEXEC);
    must(fd >= 0, place);
    return fd;
}

static void take_back(int netns, char **cgroups)
{
    static const char *const directories[] = {"work/work", "work", "upper", "root", ""};
    char path[256];
    close(netns);
    must(!umount2(at("netns"), MNT_DETACH) && !unlink(place), "ip netns del");
    for (; *cgroups; cgroups++) {
        cgroup_path(path, sizeof path, *cgroups, "");
        must(!rmdir(path), path);
    }
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        must(!rmdir(at(directories[i])), place);
}

static void prepare(char **cgroups)
{
    char path[256];
    must(!mkdir(base, 0700) && !mkdir(at("upper"), 0755) && !mkdir(at("work"), 0700) && !mkdir(at("root"), 0755), base);
    for (; *cgroups; cgroups++) {
        cgroup_path(path, sizeof path, *cgroups, "");
        must(!mkdir(path, 0755), path);
    }
}

int main(int argc, char **argv)
{
    int cable[2], with_bridge, netns, status;
    pid_t pid;
    if (argc < 4)
        return 2;
    id = getpid();
    with_bridge = strcmp(argv[3], "-") != 0;
    snprintf(base, sizeof base, "%s/floor%d", argv[1], id);
    prepare(argv + 4);
    must(!pipe2(cable, O_CLOEXEC), "pipe2");
    pid = clone_container(argv + 4);
    if (!pid) {
        close(cable[1]); /* or it would wait for itself if its parent died */
        first_process(argv[2], argv + 4, cable[0], with_bridge);
    }
    netns = netns_pin(pid);
    if (with_bridge)
        veth_add(argv[3], netns);
    must(write(cable[1], "x", 1) == 1, "write");
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    take_back(netns, argv + 4);
    return status != 0;
}

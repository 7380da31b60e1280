/* rtnetlink(7), by hand, for floor.c: a message grows in a buffer, is sent, and the kernel says 0 or an errno. */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

static const char *const address = "10.213.0.9", *const gateway = "10.213.0.1";

struct request {
    struct nlmsghdr head;
    char rest[512];
};

static void *grow(struct request *r, const void *data, size_t size)
{
    void *end = (char *)r + NLMSG_ALIGN(r->head.nlmsg_len);
    if (data)
        memcpy(end, data, size);
    r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + size;
    return end;
}

static struct rtattr *put(struct request *r, int type, const void *data, size_t size)
{
    struct rtattr head = {.rta_type = type, .rta_len = RTA_LENGTH(size)}, *attribute = grow(r, &head, sizeof head);
    if (size)
        grow(r, data, size);
    return attribute;
}

static void close_nest(struct request *r, struct rtattr *nest)
{
    nest->rta_len = (char *)r + r->head.nlmsg_len - (char *)nest;
}

static void start(struct request *r, int type, int flags, const void *family, size_t size)
{
    memset(r, 0, sizeof *r);
    r->head = (struct nlmsghdr){NLMSG_LENGTH(0), type, NLM_F_REQUEST | NLM_F_ACK | flags, 1, 0};
    grow(r, family, size);
}

static void ask(int netlink, struct request *r, const char *what)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char rest[1024];
    } answer;
    must(send(netlink, r, r->head.nlmsg_len, 0) > 0 && recv(netlink, &answer, sizeof answer, 0) > 0, what);
    errno = -answer.error.error;
    must(!errno, what);
}

static int netlink_open(void)
{
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    must(netlink >= 0, "socket(AF_NETLINK)");
    return netlink;
}

/* One request: the host's end in the bridge and up, the other end born in the container as eth0. */
static void veth_add(const char *bridge, int netns)
{
    struct ifinfomsg up = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, plain = {0};
    struct request r;
    struct rtattr *info, *data, *peer;
    int master = if_nametoindex(bridge);
    char name[IFNAMSIZ];
    must(master > 0, bridge);
    snprintf(name, sizeof name, "vethf%d", id);
    start(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &up, sizeof up);
    put(&r, IFLA_IFNAME, name, strlen(name) + 1);
    put(&r, IFLA_MASTER, &master, sizeof master);
    info = put(&r, IFLA_LINKINFO, NULL, 0);
    put(&r, IFLA_INFO_KIND, "veth", 4);
    data = put(&r, IFLA_INFO_DATA, NULL, 0);
    peer = put(&r, VETH_INFO_PEER, NULL, 0);
    grow(&r, &plain, sizeof plain);
    put(&r, IFLA_IFNAME, "eth0", 5);
    put(&r, IFLA_NET_NS_FD, &netns, sizeof netns);
    close_nest(&r, peer);
    close_nest(&r, data);
    close_nest(&r, info);
    ask(netlink_open(), &r, "ip link add ... type veth");
}

static void link_up(int netlink, int index)
{
    struct ifinfomsg up = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct request r;
    start(&r, RTM_NEWLINK, 0, &up, sizeof up);
    ask(netlink, &r, "ip link set ... up");
}

static void address_and_route(int netlink)
{
    int index = if_nametoindex("eth0");
    struct ifaddrmsg own = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = index};
    struct rtmsg route = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
                          .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST};
    struct in_addr ip, via;
    struct request r;
    inet_pton(AF_INET, address, &ip);
    inet_pton(AF_INET, gateway, &via);
    start(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &own, sizeof own);
    put(&r, IFA_LOCAL, &ip, sizeof ip);
    put(&r, IFA_ADDRESS, &ip, sizeof ip);
    ask(netlink, &r, "ip address add");
    link_up(netlink, index);
    start(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof route);
    put(&r, RTA_GATEWAY, &via, sizeof via);
    ask(netlink, &r, "ip route add default");
}

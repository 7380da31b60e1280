"""minirun network create."""

from minirun.cli.app import session
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, many, switch, value
from minirun.model import NetworkCreateRequest
from minirun.network import networks
from minirun.options import parse
from minirun.options.environment_files import parse_labels
from minirun.options.network_options import PoolWords, parse_options, parse_pools


class Create(Verb):
    usage = "NETWORK"
    least = most = 1
    driver = value("driver", "d", "Driver to manage the Network", "bridge")
    subnet = many("subnet", "", "Subnet in CIDR format that represents a network segment", "strings")
    gateway = many("gateway", "", "IPv4 or IPv6 Gateway for the subnet", "strings")
    ip_range = many("ip-range", "", "Allocate container ip from a sub-range", "strings")
    aux = many("aux-address", "", "Auxiliary IPv4 or IPv6 addresses used by Network driver (NAME=ADDRESS)", "map")
    ipv6 = switch("ipv6", "", "Enable IPv6 networking")
    internal = switch("internal", "", "Restrict external access to the network")
    attachable = switch("attachable", "", "Enable manual container attachment")
    label = many("label", "", "Set metadata on a network")
    opt = many("opt", "o", "Set driver specific options", "map")
    env = many("env", "e", "Set environment variables of every container that joins the network")

    def run(self) -> None:
        name = parse.check_name(self.words[0], "network")
        ipv4, ipv6 = parse_pools(PoolWords(self.subnet, self.ip_range, self.gateway, self.aux), self.ipv6)
        wish = NetworkCreateRequest(
            name=name,
            driver=self.driver,
            ipv4=ipv4,
            ipv6=ipv6,
            internal=self.internal,
            attachable=self.attachable,
            labels=parse_labels(self.label, ()),
            options=parse_options(self.opt),
            env=parse.parse_env(self.env),
        )
        session().fail_with(1)
        print(networks.create_network(open_instance(), wish).id)

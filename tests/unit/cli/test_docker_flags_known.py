"""Every flag that Docker 28 has for a command is one of minirun's, or is refused with its reason."""

import click
import pytest
from typer.main import get_command

from minirun.cli.app import app, load_command
from minirun.cli.refused import REFUSED

# As `docker COMMAND --help` of 28.2 lists them; "" are those before the command.
DOCKER_FLAGS = {
    "": """
        --config -c --context -D --debug -H --host -l --log-level --tls --tlscacert --tlscert --tlskey
        --tlsverify -v --version
    """,
    "run": """
        --add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop
        --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota
        --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems -d --detach
        --detach-keys --device --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps
        --device-write-iops --disable-content-trust --dns --dns-option --dns-search --domainname
        --entrypoint -e --env --env-file --expose --gpus --group-add --health-cmd --health-interval
        --health-retries --health-start-interval --health-start-period --health-timeout -h --hostname --init
        -i --interactive --io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation --kernel-memory -l
        --label --label-file --link --link-local-ip --log-driver --log-opt --mac-address -m --memory
        --memory-reservation --memory-swap --memory-swappiness --mount --name --network --network-alias
        --no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged -p
        --publish -P --publish-all --pull -q --quiet --read-only --restart --rm --runtime --security-opt
        --shm-size --sig-proxy --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t --tty --ulimit
        --use-api-socket -u --user --userns --uts -v --volume --volume-driver --volumes-from -w --workdir
    """,
    "create": """
        --add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop
        --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota
        --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems --device
        --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps --device-write-iops
        --disable-content-trust --dns --dns-option --dns-search --domainname --entrypoint -e --env
        --env-file --expose --gpus --group-add --health-cmd --health-interval --health-retries
        --health-start-interval --health-start-period --health-timeout -h --hostname --init -i --interactive
        --io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation --kernel-memory -l --label --label-file
        --link --link-local-ip --log-driver --log-opt --mac-address -m --memory --memory-reservation
        --memory-swap --memory-swappiness --mount --name --network --network-alias --no-healthcheck
        --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged -p --publish -P
        --publish-all --pull -q --quiet --read-only --restart --rm --runtime --security-opt --shm-size
        --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t --tty --ulimit --use-api-socket -u
        --user --userns --uts -v --volume --volume-driver --volumes-from -w --workdir
    """,
    "update": """
        --blkio-weight --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus
        --cpuset-cpus --cpuset-mems -m --memory --memory-reservation --memory-swap --pids-limit --restart
    """,
    "build": """
        --add-host --allow --annotation --attest --build-arg --build-context --builder --cache-from --cache-to --call
        --cgroup-parent --check --compress --cpu-period --cpu-quota -c --cpu-shares --cpuset-cpus --cpuset-mems
        --disable-content-trust -f --file --force-rm --iidfile --isolation --label --load -m --memory --memory-swap
        --metadata-file --network --no-cache --no-cache-filter -o --output --platform --progress --provenance --pull
        --push -q --quiet --rm --sbom --secret --security-opt --shm-size --squash --ssh -t --tag --target --ulimit
    """,
    "builder prune": "-a --all --filter -f --force --keep-storage",
    "exec": """
        -d --detach --detach-keys -e --env --env-file -i --interactive --privileged -t --tty -u --user -w
        --workdir
    """,
    "network create": """
        --attachable --aux-address --config-from --config-only -d --driver --gateway --ingress --internal
        --ip-range --ipam-driver --ipam-opt --ipv4 --ipv6 --label -o --opt --scope --subnet
    """,
    "network connect": "--alias --driver-opt --gw-priority --ip --ip6 --link --link-local-ip",
    "network disconnect": "-f --force",
    "network inspect": "-f --format -v --verbose",
    "network ls": "-f --filter --format --no-trunc -q --quiet",
    "network rm": "-f --force",
    "network prune": "--filter -f --force",
    "volume create": """
        --availability -d --driver --group --label --limit-bytes -o --opt --required-bytes --scope --secret
        --sharing --topology-preferred --topology-required --type
    """,
    "volume ls": "--cluster -f --filter --format -q --quiet",
    "volume rm": "-f --force",
    "volume prune": "-a --all --filter -f --force",
    "volume inspect": "-f --format",
    "commit": "-a --author -c --change -m --message -p --pause",
    "logs": "--details -f --follow --since -n --tail -t --timestamps --until",
    "inspect": "-f --format -s --size --type",
    "attach": "--detach-keys --no-stdin --sig-proxy",
    "cp": "-a --archive -L --follow-link -q --quiet",
    "events": "-f --filter --format --since --until",
    "export": "-o --output",
    "history": "--format -H --human --no-trunc --platform -q --quiet",
    "images": "-a --all --digests -f --filter --format --no-trunc -q --quiet --tree",
    "import": "-c --change -m --message --platform",
    "load": "-i --input --platform -q --quiet",
    "login": "-p --password --password-stdin -u --username",
    "pull": "-a --all-tags --disable-content-trust --platform -q --quiet",
    "push": "-a --all-tags --disable-content-trust --platform -q --quiet",
    "save": "-o --output --platform",
    "search": "-f --filter --format --limit --no-trunc",
    "info": "-f --format",
    "kill": "-s --signal",
    "ps": "-a --all -f --filter --format -n --last -l --latest --no-trunc -q --quiet -s --size",
    "restart": "-s --signal -t --timeout",
    "rm": "-f --force -l --link -v --volumes",
    "rmi": "-f --force --no-prune --platform",
    "start": "-a --attach --checkpoint --checkpoint-dir --detach-keys -i --interactive",
    "stats": "-a --all --format --no-stream --no-trunc",
    "stop": "-s --signal -t --timeout",
    "version": "-f --format",
    "image prune": "-a --all --filter -f --force",
    "container prune": "--filter -f --force",
    "system df": "--format -v --verbose",
    "system prune": "-a --all --filter -f --force --volumes",
}


@pytest.mark.parametrize("verb", sorted(DOCKER_FLAGS))
def test_dockers_flags_are_known(verb: str) -> None:
    command: click.Command = load_command(verb) if verb else get_command(app)
    own = {name for param in command.params for name in param.opts} | {"-h", "--help"}
    refused = {
        name if name.startswith("-") else f"{'--' if len(name) > 1 else '-'}{name}" for name in REFUSED.get(verb, {})
    }
    assert set(DOCKER_FLAGS[verb].split()) - own - refused == set()

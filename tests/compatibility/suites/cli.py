"""minirun's own tests of commands, typed as Docker's command line: `docker`, through the socket of minirun's service.

A program in minirun's place sends what Docker has too to `docker`, and the rest (other commands, other flags) to
minirun. The tests make their own hosts; the service is started there by the first command.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.compatibility.outcomes import Outcome
from tests.compatibility.stage import Stage
from tests.compatibility.suites.pytest_run import outcomes_of
from tests.harness.host import MINIRUN, REPO

# Those that type commands as a user does; the others look at minirun's own insides.
_CHOSEN = {
    "cli": "cli docker_answers docker_flags events listing prune run_flags",
    "engine": "attach lifecycle limits restart shared_namespaces stats top",
    "volume": "copy_up filesystems mounts volumes",
    "network": "connect networks ports",
    "image": "archives images",
}
_PROGRAM = r"""#!/bin/bash
# What Docker has too goes to docker.
minirun={minirun} docker={docker} known={known} socket=/run/minirun-docker.sock
words=("$@") name=${1-}
case $name in
-*) exec $minirun "$@" ;;
container | image | network | volume | system | builder) name="$1 ${2-}" && words=("${@:2}") ;;
esac
[[ -f "$known/$name" ]] || exec $minirun "$@"
for word in "${words[@]:1}"; do
    [[ $word != --* || $word == -- ]] || grep -qxF -e "${word%%=*}" "$known/$name" || exec $minirun "$@"
done
if ! [[ -S $socket ]]; then
    (
        flock 9
        service="$minirun system service --time 600 unix://$socket"
        # In its own line: of `test || service &` a shell would stay, with the output that a test reads to its end.
        [[ -S $socket ]] && exit
        setsid $service </dev/null >/run/service.log 2>&1 9>&- &
        for ((try = 0; try < 200; try++)); do [[ -S $socket ]] && break || sleep 0.05; done
    ) 9>/run/service.lock
fi
echo "$*" >>/run/through-docker
export DOCKER_CLI_HINTS=false DOCKER_BUILDKIT=0
exec $docker -H unix://$socket "$@"
"""


def run(stage: Stage, words: Sequence[str]) -> Sequence[Outcome]:
    """`words` are pytest's. The stage's own engine has no part in it."""
    place = stage.records.parent / "program"
    known = place / "known"
    known.mkdir(parents=True, exist_ok=True)
    _write_known(stage.peers.docker, known)
    program = place / "minirun"
    text = _PROGRAM.replace("{minirun}", MINIRUN).replace("{docker}", str(stage.peers.docker))
    program.write_text(text.replace("{known}", str(known)))
    program.chmod(0o755)
    report = place / "junit.xml"
    report.unlink(missing_ok=True)
    flags = f"-q -n2 --tb=short -p no:cacheprovider --junitxml={report}".split()
    command = [sys.executable, "-m", "pytest", *flags, *(words or _files())]
    environment = {**os.environ, "MINIRUN_BIN": str(program), "MINIRUN_FORKSERVER": "off"}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    (place / "pytest.log").write_text(done.stdout + done.stderr)
    return outcomes_of(report, done)


def _files() -> list[str]:
    return [f"tests/integration/{room}/test_{name}.py" for room, names in _CHOSEN.items() for name in names.split()]


def _write_known(docker: Path, known: Path) -> None:
    """A file for each command that Docker has, with its flags. Hidden ones are those that people type most."""
    single = (
        "run create start stop restart kill rm ps exec attach logs inspect cp diff export top port rename pause unpause"
        " wait stats update commit events images rmi tag load save import history pull push build info version"
    )
    grouped = {
        "container": "ls prune inspect rm run create start stop exec logs",
        "image": "ls prune inspect rm tag history save load",
        "network": "ls create rm inspect connect disconnect prune",
        "volume": "ls create rm inspect prune",
        "system": "df prune info events",
        "builder": "prune",
    }
    names = [[name] for name in single.split()]
    names += [[group, name] for group, members in grouped.items() for name in members.split()]
    for name in names:
        done = subprocess.run([docker, *name, "--help"], capture_output=True, text=True, check=True)
        flags = [word.rstrip(",") for word in done.stdout.split() if word.startswith("--")]
        (known / " ".join(name)).write_text("\n".join([*flags, "--net", "--net-alias", "--help"]) + "\n")

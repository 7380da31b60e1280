"""The Docker side of podman's test/apiv2: shell scripts of HTTP requests, and what podman answers to them.

Requests to podman's own side (libpod) are left out. Those whose answer depends on them, or on the command podman,
which here is Docker's with a few of podman's flags, are failures of Docker itself.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.compatibility.outcomes import Outcome, numbered
from tests.compatibility.stage import BIN, Stage, lay_copy
from tests.compatibility.suites.podman_program import lay_program

# Left out as podman's own: 15 manifests, 28 annotations, 36 quadlets, 40 pods, 47 subnet pools of a configuration file,
# 50 secrets, 80 kube.
_FILES = (
    "01-basic 10-images 12-imagesMore 14-commit 19-stats 20-containers 22-stop 23-containersArchive 25-containersMore"
    " 26-containersWait 27-containersEvents 30-volumes 35-networks 44-mounts 45-system 60-auth 70-short-names 90-build"
)
_LINE = re.compile(r"(ok|not ok) \d+ (\[\S+\] .*)")


def run(stage: Stage, words: Sequence[str]) -> Sequence[Outcome]:
    """`words` are names of files, without their ending."""
    tree = lay_copy(stage.peers.source("podman"), Path("/tmp/compatibility-podman"))
    program = lay_program(stage)
    environment = [f"PODMAN={program}", "PODMAN_SERVICE_PORT=8081", f"CONTAINERS_HELPER_BINARY_DIR={program.parent}"]
    log = stage.records.with_name("apiv2.log")
    log.write_text("")
    found: list[Outcome] = []
    for name in words or _FILES.split():
        _clean(stage)
        path = f"PATH={program.parent}:{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
        command = ["env", *environment, path, "timeout", "240", "bash", tree / "test/apiv2/test-apiv2", name]
        done = stage.run(command, cwd=tree, timeout=260)
        with log.open("a") as file:
            file.write(f"== {name}\n{done.stdout}{done.stderr}\n")
        found += _outcomes(done.stdout)
    return numbered(found)


def _clean(stage: Stage) -> None:
    for kind in ("ps -aq", "images -q"):
        ids = stage.docker(*kind.split()).stdout.split()
        if ids:
            stage.docker(*(["rm", "-f"] if kind.startswith("ps") else ["rmi", "-f"]), *sorted(set(ids)))
    stage.docker("volume", "prune", "-af")
    stage.docker("network", "prune", "-f")
    stage.pull("quay.io/libpod/testimage:20241011")


def _outcomes(text: str) -> Iterator[Outcome]:
    last: Outcome | None = None
    for line in text.splitlines():
        if match := _LINE.match(line):
            if last:
                yield last
            last = None
            test = _steady(match[2])
            if "libpod" in test.replace("quay.io/libpod", ""):
                continue
            if "# skip - " in test:
                last = Outcome(test.partition(" # skip")[0], "skipped", "the request before it had another status")
            else:
                last = Outcome(test, "passed" if match[1] == "ok" else "failed")
        elif last and line.startswith("#"):
            last = Outcome(last.test, last.status, f"{last.detail}{line}\n")
    if last:
        yield last


def _steady(test: str) -> str:
    """The name without what differs from run to run."""
    test = test.split(" : ", 1)[0] + (
        " : " + re.split(r"[=~!(]", test.split(" : ", 1)[1])[0].strip() if " : " in test else ""
    )
    test = re.sub(r"[0-9a-f]{64}", "<id>", test)
    test = re.sub(r"[0-9a-f]{12}", "<id>", test)
    test = re.sub(r"test-apiv2\.tmp\.\w+", "<dir>", test)
    test = re.sub(r'"(username|password)":"[^"]*"', r'"\1":"<word>"', test)
    test = re.sub(r"(localhost:)\d+", r"\1<port>", test)
    test = re.sub(r"(ArchiveTestingCtr|Hello_)\w+", r"\1<word>", test)
    test = re.sub(r"(Time for ten /info requests).*", r"\1", test)
    return re.sub(r"[A-Za-z0-9]{10,}(?<=\d)\b", "<word>", test)

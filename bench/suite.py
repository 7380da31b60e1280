"""Wall time of whole commands, minirun beside Docker and podman, interleaved so that noise hits all alike."""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
MINIRUN = os.environ.get("MINIRUN_BIN", str(REPO / ".venv" / "bin" / "minirun"))
WORK = {
    "run --rm, none": ["run", "--rm", "--net=none", "busybox", "true"],
    "run --rm, host": ["run", "--rm", "--net=host", "busybox", "true"],
    "run --rm, container:": ["run", "--rm", "--net=container:web", "busybox", "true"],
    "run --rm, bridge": ["run", "--rm", "busybox", "true"],
    "run --rm, bridge, -p": ["run", "--rm", "-p", "18080:80", "busybox", "true"],
    "exec": ["exec", "web", "true"],
    "ps": ["ps"],
    "--help": ["--help"],
}


@dataclass(frozen=True)
class Contender:
    name: str
    command: tuple[str, ...]

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=60
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="write the table there, too")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="minirun-bench-"))
    # On a file system of its own: what an engine leaves mounted or undeletable there goes with these namespaces.
    subprocess.run(["mount", "-t", "tmpfs", "bench", str(work)], check=True)
    try:
        contenders = _prepare(work)
        text = _report(_measure(contenders, options.rounds), contenders, options.rounds)
        print(text)
        if options.out:
            options.out.write_text(text)
    finally:
        subprocess.run(["umount", "-l", str(work)], check=False)
        work.rmdir()


def _prepare(work: Path) -> list[Contender]:
    """Fresh /run and state directories, a busybox image for each, and one running container named web."""
    for target in ("/run", "/var/lib/minirun"):
        Path(target).mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "bench", target], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    minirun = Contender("minirun", (MINIRUN,))
    minirun.run(["run", "--rm", "--net=none", "busybox", "true"])
    archive = work / "busybox.tar"
    subprocess.run(["tar", "-C", "/var/lib/minirun/images/busybox/rootfs", "-cf", str(archive), "."], check=True)
    found = [minirun, _docker(work, archive), _podman(work, archive)]
    return [one for one in found if one is not None and _works(one)]


def _docker(work: Path, archive: Path) -> Contender | None:
    client = shutil.which("docker", path="/usr/bin:/usr/local/bin")
    if not shutil.which("dockerd") or not client:
        _say("docker is not installed: left out")
        return None
    socket = f"unix://{work}/docker.sock"
    log = (work / "dockerd.log").open("wb")
    state = ["--data-root", f"{work}/docker", "--exec-root", f"{work}/exec", "--pidfile", f"{work}/docker.pid"]
    subprocess.Popen(["dockerd", "-H", socket, *state], stdout=log, stderr=log)
    docker = Contender("docker", (client, "-H", socket))
    for _ in range(150):
        if docker.run(["info"]).returncode == 0:
            break
        time.sleep(0.1)
    docker.run(["import", "-c", 'CMD ["sh"]', str(archive), "busybox"])
    return docker


def _podman(work: Path, archive: Path) -> Contender | None:
    if not shutil.which("podman"):
        _say("podman is not installed: left out")
        return None
    runtime = next(name for name in ("runc", "crun") if shutil.which(name))
    state = ("--root", f"{work}/podman", "--runroot", f"{work}/podman-run", "--cgroup-manager", "cgroupfs")
    podman = Contender("podman", ("podman", *state, "--runtime", runtime, "--events-backend", "file"))
    podman.run(["import", str(archive), "localhost/busybox"])
    return podman


def _works(contender: Contender) -> bool:
    done = contender.run(["run", "-d", "--name", "web", "busybox", "sleep", "100000"])
    if done.returncode:
        _say(f"{contender.name} is left out: {done.stderr.strip().splitlines()[-1:]}")
    return done.returncode == 0


def _measure(contenders: list[Contender], rounds: int) -> dict[tuple[str, str], list[float]]:
    times: dict[tuple[str, str], list[float]] = {}
    for work, words in WORK.items():
        for turn in range(rounds + 1):
            for contender in contenders:
                started = time.perf_counter()
                done = contender.run(words)
                elapsed = time.perf_counter() - started
                if turn and done.returncode == 0:  # the first turn only warms up
                    times.setdefault((work, contender.name), []).append(elapsed)
        for _ in range(rounds):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-I", "-c", "pass"], check=True)
            times.setdefault(("python3 -c pass", "minirun"), []).append(time.perf_counter() - started)
    return times


def _report(times: dict[tuple[str, str], list[float]], contenders: list[Contender], rounds: int) -> str:
    names = [one.name for one in contenders]
    peers = names[1:]
    lines = [
        f"{_machine()}. {rounds} rounds, interleaved; milliseconds of wall time: median (10th to 90th percentile).",
        "",
        "| work | " + " | ".join(names) + " | " + " | ".join(f"minirun / {peer}" for peer in peers) + " |",
        "|---" * (1 + len(names) + len(peers)) + "|",
    ]
    for work in [*WORK, "python3 -c pass"]:
        cells = [_cell(times.get((work, name))) for name in names]
        ratios = [_ratio(times.get((work, "minirun")), times.get((work, peer))) for peer in peers]
        lines.append(f"| `{work}` | " + " | ".join([*cells, *ratios]) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float] | None) -> str:
    if not values:
        return "-"
    low, high = statistics.quantiles(values, n=10)[0], statistics.quantiles(values, n=10)[-1]
    return f"{statistics.median(values) * 1000:.0f} ({low * 1000:.0f} to {high * 1000:.0f})"


def _ratio(ours: list[float] | None, theirs: list[float] | None) -> str:
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}" if ours and theirs else "-"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown processor")
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Our own compose files, in compose/: what Docker's compose does with them on each engine is to be the same.

A file lists its steps under `x-steps`: words for docker-compose, or, after `$ `, a command of the host's shell; `$$` is
one dollar, as in the rest of the file. What a
step printed and how it ended was recorded with Docker, in the file `expected` beside it; what can't be the same twice
is replaced first.
"""

import difflib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.compatibility.outcomes import Outcome
from tests.compatibility.stage import Stage, lay_copy

FILES = Path(__file__).parents[1] / "compose"
_WORKING = Path("/tmp/compatibility-compose")
# What differs from run to run, or is a matter of the client's terminal.
_REPLACED = (
    (r"\x1b\[[0-9;?]*[a-zA-Z]", ""),
    (r"\b[0-9a-f]{64}\b", "<id>"),
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{12}\b", "<short id>"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?Z| [+-]\d{4} \w+)?", "<time>"),
    (r"\b(172\.(1[6-9]|2\d|3[01])|10\.\d+|192\.168)\.\d+\.\d+\b(/\d+)?", "<address>"),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
    (r"\b\d+(\.\d+)?(ms|s)\b", "<duration>"),
    (r"(About )?an? (second|minute)s? ago|\d+ (second|minute)s? ago|Less than a second ago", "<ago>"),
    (r"Up (Less than a second|About a minute|\d+ \w+)", "Up <duration>"),
    (r" +\n", "\n"),
)


def run(stage: Stage, words: Sequence[str], record: bool = False) -> Sequence[Outcome]:
    """`words` are names of directories in compose/, or their first letters."""
    stage.pull("busybox")
    tree = lay_copy(FILES, _WORKING)
    names = sorted(directory.name for directory in FILES.iterdir() if directory.is_dir())
    chosen = [name for name in names if not words or any(name.startswith(word) for word in words)]
    return [_run_one(stage, tree / name, record) for name in chosen]


def _run_one(stage: Stage, directory: Path, record: bool) -> Outcome:
    text = "".join(_transcript(stage, directory))
    expected = FILES / directory.name / "expected"
    if record:
        expected.write_text(text)
    if not expected.exists():
        return Outcome(directory.name, "failed", f"there is no file `expected`: --record makes it\n{text}")
    wanted = expected.read_text()
    if text == wanted:
        return Outcome(directory.name, "passed")
    lines = difflib.unified_diff(wanted.splitlines(), text.splitlines(), "expected", stage.engine, lineterm="", n=2)
    return Outcome(directory.name, "failed", "\n".join(lines))


def _transcript(stage: Stage, directory: Path) -> Iterator[str]:
    steps = _steps(stage, directory / "compose.yaml")
    try:
        for step in steps:
            yield f"--- {step}\n{_step(stage, directory, step)}"
    finally:
        stage.compose(*["--profile", "*", "down", "-v", "--remove-orphans", "-t", "0"], cwd=directory, timeout=120)


def _steps(stage: Stage, file: Path) -> Sequence[str]:
    """By the clients' YAML: minirun needs none."""
    read = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))['x-steps']))"
    done = subprocess.run([stage.peers.python, "-c", read, file], capture_output=True, text=True, check=True)
    return [str(step).replace("$$", "$") for step in json.loads(done.stdout)]


def _step(stage: Stage, directory: Path, step: str) -> str:
    environment: Mapping[str, str] = {"COMPOSE_PROGRESS": "quiet", "COMPOSE_ANSI": "never", "PAGER": "cat"}
    variables = [f"{name}={value}" for name, value in environment.items()]
    if step.startswith("$ "):
        words = ["env", *variables, "sh", "-c", step[2:]]
    else:
        words = ["env", *variables, "sh", "-c", f"exec docker-compose {step}"]
    try:
        done = stage.run(words, cwd=directory, timeout=90)
    except subprocess.TimeoutExpired:
        return "it did not end\n"
    result = _normal(done.stdout)
    if done.returncode:
        result += f"exit code {done.returncode}\n"
        result += _normal(done.stderr) if not step.startswith("$ ") else ""
    return result


def _normal(text: str) -> str:
    for pattern, replacement in _REPLACED:
        text = re.sub(pattern, replacement, text)
    return text if not text or text.endswith("\n") else text + "\n"

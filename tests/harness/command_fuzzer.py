"""Many command lines, each by a process that is forked from this one, which has everything imported: 5 ms each.

Reads a line of JSON for each: {"words": [...], "files": {path: base64}}; answers {"code", "said"}, where a code below 0
is the signal that ended it: 14 (SIGALRM) after five seconds.
"""

import base64
import json
import os
import signal
import sys
from pathlib import Path

SECONDS = 5


def main() -> None:
    from minirun.cli.app import load_command
    from minirun.cli.commands import COMMANDS

    for name in COMMANDS:
        load_command(name)
    for line in sys.stdin:
        asked = json.loads(line)
        for path, content in asked.get("files", {}).items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(base64.b64decode(content))
        print(json.dumps(run(asked["words"])), flush=True)


def run(words: list[str]) -> dict[str, object]:
    output = os.memfd_create("output")
    child = os.fork()
    if child == 0:
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.alarm(SECONDS)
        call(words)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = os.pread(output, 1 << 20, 0).decode("utf-8", "backslashreplace")
    os.close(output)
    return {"code": status, "said": said}


def call(words: list[str]) -> None:
    import traceback

    code = 255
    try:
        from minirun.cli.main import run as run_command

        code = run_command(words)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()

"""RUN becomes a step: its command line, here-documents and mounts.

https://docs.docker.com/reference/dockerfile/#run
"""

import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from minirun.errors import MinirunError
from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.expansion import Expander
from minirun.image.dockerfile.run_mounts import RunMount, parse_run_mount
from minirun.image.dockerfile.stages import Stage
from minirun.image.dockerfile.statements import find_heredoc
from minirun.image.dockerfile.steps import BoundMount, Builtin, RunStep
from minirun.image.dockerfile.variables import proxies
from minirun.image.instructions import command_line

_SCRIPTS = "/dev/pipes"


def run_step(
    run: syntax.Run, config: Mapping[str, Any], expander: Expander, stage: Stage, build_args: Mapping[str, str]
) -> RunStep:
    """Return the step that a RUN leads to. MinirunError when a mount is wrong."""
    command, script = _command(run)
    workdir = config.get("WorkingDir") or "/"
    mounts: list[BoundMount] = []
    for text in run.mounts:
        mount = parse_run_mount(text, expander.word)
        sockets = sum(bound.mount.type == "ssh" for bound in mounts)
        mounts.append(_bound(mount, stage, workdir, sockets))
    return RunStep(
        lines=run.lines,
        argv=tuple(command_line(config, command)),
        environment=tuple(expander.variables.items()),
        user=config.get("User") or "",
        workdir=workdir,
        network=run.network,
        mounts=tuple(mounts),
        script=script,
        proxies=tuple(proxies(build_args).items()),
    )


def _command(run: syntax.Run) -> tuple[syntax.Run, tuple[str, str] | None]:
    """Put here-documents into the command line. Return it, and the script to run if the document is one."""
    if not run.heredocs:
        return run, None
    opened, document = find_heredoc(run.words[0]), run.heredocs[0]
    if opened is None:  # the shell reads the documents itself
        documents = [f"{heredoc.content}{heredoc.name}" for heredoc in run.heredocs]
        return replace(run, words=("\n".join([run.words[0], *documents]),)), None
    if not document.text.startswith("#!"):
        return replace(run, words=(document.text,)), None
    if "/" in document.name or document.name in (".", ".."):
        raise MinirunError(f"the name of the here-document is no file name: {document.name}")
    return replace(run, words=(posixpath.join(_SCRIPTS, document.name),)), (document.name, document.text)


def _bound(mount: RunMount, stage: Stage, workdir: str, sockets: int) -> BoundMount:
    target = mount.target
    if mount.type == "secret":
        mount = replace(mount, id=mount.source or mount.id or posixpath.basename(target), source="")
        target = target or ("" if mount.env is not None else f"/run/secrets/{posixpath.basename(mount.id)}")
        if mount.env == "":
            raise MinirunError("the variable of a secret has no name")
    elif mount.type == "ssh":
        mount = replace(mount, id=mount.id or "default")
        target = target or f"/run/buildkit/ssh_agent.{sockets}"
    elif mount.type == "cache":
        mount = replace(mount, id=mount.id or posixpath.normpath(target), sharing=mount.sharing or "shared")
    if target or mount.type != "secret":
        target = "/" + posixpath.normpath(posixpath.join("/", workdir, target)).lstrip("/")
    if target == "/":
        raise MinirunError(f'invalid mount target "{mount.target}"', "name a directory other than the root: target=")
    default = Builtin.CONTEXT if mount.type == "bind" else Builtin.SCRATCH
    return BoundMount(mount=mount, origin=stage.origins.get(mount.origin, default), target=target)

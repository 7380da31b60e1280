"""Instruction by instruction: the configuration, the variables, the steps to execute and the history."""

from typing import Any

import pytest

from minirun.image.dockerfile.parser import parse
from minirun.image.dockerfile.source import DockerfileError
from minirun.image.dockerfile.stage_state import Outcome, StageState, advance, begin
from minirun.image.dockerfile.stages import Plan, make_plan
from minirun.image.dockerfile.steps import Builtin, CopyStep, ImageOrigin, RunStep, StageOrigin, Step, WorkdirStep
from minirun.image.platforms import Platform

AMD64 = Platform("linux", "amd64")
BASE = {"Env": ["PATH=/bin", "B=base"], "Cmd": ["base"], "WorkingDir": "/w", "OnBuild": ["RUN never"]}


def build(text: str, build_args: dict[str, str] | None = None, base: dict[str, Any] = BASE) -> list[Outcome]:
    """Go through all stages. Return the outcomes of the last one."""
    plan = make_plan(parse(text.encode()), build_args or {}, AMD64, AMD64)
    states: dict[int, StageState] = {}
    outcomes: list[Outcome] = []
    for stage in plan.stages:
        inherited = states[stage.base.index] if isinstance(stage.base, StageOrigin) else base
        outcomes, state = _stage(plan, stage, begin({} if stage.base is Builtin.SCRATCH else inherited))
        states[stage.index] = state
    return outcomes


def _stage(plan: Plan, stage: Any, state: StageState) -> tuple[list[Outcome], StageState]:
    outcomes = []
    for instruction in stage.instructions:
        outcomes.append(advance(plan, stage, state, instruction))
        state = outcomes[-1].state
    return outcomes, state


def last(text: str, **build_args: str) -> StageState:
    return build("FROM x\n" + text, build_args)[-1].state


def step(text: str, kind: type[Step]) -> Any:
    found = build("FROM y AS y\nFROM x\n" + text)[-1].step
    assert isinstance(found, kind)
    return found


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("ENV V=$B", "base"),
        ("ENV V=1 W=$V", None),
        ("ARG V", None),
        ("ARG V=1", "1"),
        ("ARG V=$B", "base"),
        ("ARG A=1 V=$A", "1"),
        ("ARG G\nENV V=$G", "arg"),
        ("ARG G=other\nENV V=$G", "arg"),
        ("ENV V=$G.", "."),
        ("ARG V=1\nENV V=2", "2"),
        ("ENV V=1\nARG V=2", "2"),
        ("ENV G=env\nENV V=$G", "env"),
        ("ENV V='$B' W=x", "$B"),
        ("ARG TARGETARCH\nENV V=$TARGETARCH", "amd64"),
        ("ARG H\nENV V=$H", "global"),
        ("ARG H=stage\nENV V=$H", "stage"),
        ("ENV V=${http_proxy}.", "."),
    ],
)
def test_the_scope_of_variables(text: str, variable: str | None) -> None:
    outcomes = build(f"ARG H=global\nFROM x\n{text}", {"G": "arg", "http_proxy": "p"})
    assert outcomes[-1].state.variables.get("V") == (variable if "W=$V" not in text else "1")


def test_a_stage_inherits_from_a_stage() -> None:
    outcomes = build("FROM x AS a\nARG A=1\nENV E=2\nCMD c\nONBUILD ENV T=3\nFROM a\nENTRYPOINT e\nRUN r")
    config = outcomes[-1].state.config
    assert config["Env"] == ["PATH=/bin", "B=base", "E=2", "T=3"]
    assert "Cmd" not in config
    assert "OnBuild" not in config
    assert outcomes[-1].created_by == "RUN |1 A=1 /bin/sh -c r"
    assert dict(outcomes[-1].step.environment)["A"] == "1"  # type: ignore[union-attr]


def test_scratch_has_a_path() -> None:
    outcomes = build("FROM scratch\nENV PATH=/x:$PATH", base={})
    assert outcomes[-1].state.config["Env"] == ["PATH=/x:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("RUN a $B 'c'", ("/bin/sh", "-c", "a $B 'c'")),
        ('RUN ["a", "$B"]', ("a", "$B")),
        ('SHELL ["/bin/bash", "-ec"]\nRUN a', ("/bin/bash", "-ec", "a")),
        ("RUN <<E\na\nb\nE", ("/bin/sh", "-c", "a\nb\n")),
        ("RUN <<-E\n\ta\n\tE", ("/bin/sh", "-c", "a\n")),
        ("RUN <<E cat\na\nE", ("/bin/sh", "-c", "<<E cat\na\nE")),
        ("RUN cat <<A <<-'B'\na\nA\n\tb\nB", ("/bin/sh", "-c", "cat <<A <<-'B'\na\nA\n\tb\nB")),
        ("RUN <<E\n#!/bin/x\na\nE", ("/bin/sh", "-c", "/dev/pipes/E")),
    ],
)
def test_the_command_line_of_run(text: str, argv: tuple[str, ...]) -> None:
    assert step(text, RunStep).argv == argv


def test_a_script_is_a_file() -> None:
    assert step("RUN <<my.py\n#!/bin/x\na\nmy.py", RunStep).script == ("my.py", "#!/bin/x\na\n")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("type=cache,target=/c", "cache <SCRATCH> /c rw id=/c shared"),
        ("type=cache,target=c,id=$B,sharing=locked,ro", "cache <SCRATCH> /w/c ro id=base locked"),
        ("target=/m", "bind <CONTEXT> /m ro"),
        ("type=bind,from=y,source=/s,target=/m,rw", "bind <0> /m rw"),
        ("from=img,target=/m", "bind <img> /m ro"),
        ("type=tmpfs,target=/t,size=1m", "tmpfs <SCRATCH> /t rw 1048576"),
        ("type=secret,id=s", "secret <SCRATCH> /run/secrets/s ro id=s"),
        ("type=secret,source=s,env=V", "secret <SCRATCH>  ro id=s V"),
        ("type=secret,target=/a/b,required", "secret <SCRATCH> /a/b ro id=b required"),
        ("type=ssh", "ssh <SCRATCH> /run/buildkit/ssh_agent.0 ro id=default"),
        ('"type=cache","target=/a,b"', "cache <SCRATCH> /a,b rw id=/a,b shared"),
    ],
)
def test_mounts(options: str, shown: str) -> None:
    (bound,) = step(f"RUN --mount='{options}' x", RunStep).mounts
    mount, origin = bound.mount, bound.origin
    match origin:
        case StageOrigin(index):
            name = str(index)
        case ImageOrigin(reference):
            name = reference
        case _:
            name = origin.name
    words = [mount.type, f"<{name}>", bound.target, "ro" if mount.is_read_only else "rw"]
    words += [f"id={mount.id}"] * bool(mount.id) + [mount.sharing] * bool(mount.sharing)
    words += [str(mount.size)] * bool(mount.size) + [mount.env or ""] * (mount.env is not None)
    assert " ".join(words + ["required"] * mount.is_required) == shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RUN --mount=type=disk,target=/x y", 'unsupported mount type "disk"'),
        ("RUN --mount=type=cachee,target=/x y", 'unsupported mount type "cachee" (did you mean cache?)'),
        ("RUN --mount=type=cache,targett=/x y", "unexpected key 'targett' in 'targett=/x' (did you mean target?)"),
        ("RUN --mount=type=cache,target y", "invalid field 'target' must be a key=value pair"),
        ("RUN --mount=type=cache,size=1m,target=/x y", "unexpected key 'size' for mount type 'cache'"),
        ("RUN --mount=type=cache,mode=999,target=/x y", "invalid value 999 for mode"),
        ("RUN --mount=target=/x,uid=1 y", 'uid not allowed for "bind" type mounts'),
        ("RUN --mount=target=/x,ro=maybe y", "invalid value for ro: maybe"),
        ("RUN --mount=target=/x,sharing=locked y", "invalid cache sharing set for bind mount"),
        ("RUN --mount=type=secret y", "invalid secret mount. one of source, target required"),
        ("RUN --mount=type=secret,id=a,src=b y", "both source and id can't be set"),
        ("RUN --mount=type=cache,target=/ y", 'invalid mount target "/"'),
        ("RUN --mount='\"a' y", "dockerfile parse error on line 3: failed to parse csv mounts"),
        ("COPY https://x/y /z", "source can't be a URL for COPY"),
        ("COPY git@x:y /z", "source can't be a git ref for COPY"),
        ("ADD https://x/y.git /z", "ADD of a Git repository is not supported"),
        ("ADD --checksum=sha256:1 a /z", "checksum requires HTTP(S) or Git sources"),
        ("ADD --checksum=sha256:1 a b /z", "checksum can't be specified for multiple sources"),
        ("ADD --checksum=sha256:1 https://x/y /z", "invalid checksum digest format: sha256:1"),
        ("COPY --chmod=9 a b", "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777"),
        ("COPY --chmod=u~x a b", "invalid chmod parameter: 'u~x'"),
        ("COPY --exclude=[ a b", "syntax error in pattern: ["),
        ("COPY [a b", "syntax error in pattern: [a"),
        ("COPY <<a/b /c\na/b", "the name of the here-document is no file name: a/b"),
        ("ENV a=${b", "failed to process \"${b\": syntax error: missing '}'"),
        ("STOPSIGNAL SIGNOPE", "Invalid signal: SIGNOPE"),
        ("VOLUME here", "invalid volume: here"),
        ("EXPOSE 80/x", "invalid containerPort: 80/x"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
    ],
)
def test_an_instruction_that_is_wrong(text: str, says: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        build("FROM x\nRUN fine\n" + text)
    assert caught.value.message.startswith(says)
    assert "   3 | >>> " in caught.value.excerpt


@pytest.mark.parametrize(
    ("text", "sources", "destination"),
    [
        ("COPY a b/ /c/", ("a", "b"), "/c/"),
        ("COPY . .", (".",), "/w/"),
        ("COPY /a ../../b", ("a",), "/b"),
        ("COPY ../../etc/x /", ("etc/x",), "/"),
        ("COPY $B/*.[ch] ${B}/", ("base/*.[ch]",), "/w/base/"),
        ('COPY ["a b", "./c"]', ("a b",), "/w/c"),
        ("COPY a b/.", ("a",), "/w/b/"),
        ("COPY --parents a/./b/../c d/./e /f/", ("a/./c", "d/./e"), "/f/"),
    ],
)
def test_the_paths_of_copy(text: str, sources: tuple[str, ...], destination: str) -> None:
    copied = step(text, CopyStep)
    assert (copied.sources, copied.destination) == (sources, destination)


def test_the_rest_of_copy_and_add() -> None:
    copied = step("COPY --from=y --chown=$B:1 --chmod=0755 --link --exclude=*.md a b", CopyStep)
    assert (copied.origin, copied.chown, copied.is_linked, copied.exclude) == (
        StageOrigin(0),
        "base:1",
        True,
        ("*.md",),
    )
    assert copied.chmod.apply(0o600, False) == 0o755
    assert (copied.is_add, copied.unpacks) == (False, False)
    added = step(f"ADD --checksum=sha256:{'0' * 64} https://h/x.tgz /d", CopyStep)
    assert (added.urls, added.sources, added.unpacks, added.unpacks_urls) == (("https://h/x.tgz",), (), True, False)
    assert step("ADD --unpack=false a /d", CopyStep).unpacks is False
    contents = step("COPY <<A <<'B' <<-C /d/\n$B 'q'\nA\n$B\nB\n\tx\nC", CopyStep).contents
    assert contents == (("A", "base 'q'\n"), ("B", "$B\n"), ("C", "x\n"))


def test_workdir_makes_a_directory() -> None:
    made = step("USER u\nWORKDIR d/$B", WorkdirStep)
    assert (made.path, made.user) == ("/w/d/base", "u")
    assert build("FROM x\nWORKDIR /")[-1].step is None


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("ARG A=1 C", "ARG A=1 C"),
        ("ENV C=1\nARG A= C", "ARG A= C"),
        ("ENV A=$B C='d e'", "ENV A=base C=d e"),
        ("LABEL a=b", "LABEL a=b"),
        ("CMD a 'b'", 'CMD ["/bin/sh" "-c" "a \'b\'"]'),
        ('ENTRYPOINT ["a\\n", "\\"b"]', 'ENTRYPOINT ["a\\n" "\\"b"]'),
        ("EXPOSE 80 1-2/udp", "EXPOSE [1/udp 2/udp 80/tcp]"),
        ("VOLUME /a /b", "VOLUME [/a /b]"),
        ('SHELL ["a", "b"]', "SHELL [a b]"),
        ("WORKDIR x", "WORKDIR /w/x"),
        ("USER $B", "USER base"),
        ("STOPSIGNAL 9", "STOPSIGNAL 9"),
        ("MAINTAINER me", "MAINTAINER me"),
        ("HEALTHCHECK --retries=2 CMD x", "HEALTHCHECK --retries=2 CMD x"),
        ("ONBUILD RUN x", ""),
        ("COPY --chown=1 --chmod=644 --parents a $B /c/", "COPY --parents --chown=1 --chmod=644 a base /c/"),
        ("COPY <<A /c\nsecret\nA", "COPY <<A /c"),
        ("ADD a /c", "ADD a /c"),
        ("RUN --mount=type=secret,id=s x", "RUN /bin/sh -c x"),
        ("ARG P=1\nARG Q\nENV P=2\nRUN x", "RUN |2 P=2 Q= /bin/sh -c x"),
    ],
)
def test_the_history(text: str, entry: str) -> None:
    assert build("FROM x\n" + text)[-1].created_by == entry


def test_the_author_and_undefined_variables() -> None:
    assert last("MAINTAINER me\nENV a=b").author == "me"
    outcome = build("FROM x\nARG KNOWN\nLABEL a=$KNOWN$PATHS b=$B")[-1]
    assert outcome.undefined == ("Usage of undefined variable '$PATHS' (did you mean $PATH?)",)

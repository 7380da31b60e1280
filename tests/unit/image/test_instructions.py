"""Lines of a Dockerfile, as `--change` takes them."""

import pytest

from minirun.errors import MinirunError
from minirun.image.document import Config
from minirun.image.instructions import apply


@pytest.mark.parametrize(
    ("lines", "config"),
    [
        (['CMD ["a", "b c"]'], {"Cmd": ["a", "b c"]}),
        (["cmd a $B 'c'"], {"Cmd": ["/bin/sh", "-c", "a $B 'c'"]}),
        (["CMD [a]"], {"Cmd": ["/bin/sh", "-c", "[a]"]}),
        (["CMD"], {"Cmd": ["/bin/sh", "-c", ""]}),
        (["ENTRYPOINT top -b"], {"Entrypoint": ["/bin/sh", "-c", "top -b"]}),
        (["CMD x", 'ENTRYPOINT ["y"]'], {"Cmd": ["/bin/sh", "-c", "x"], "Entrypoint": ["y"]}),
        (["ENV a=b c=\"d e\" f='$a' g=x\\ y"], {"Env": ["a=b", "c=d e", "f=$a", "g=x y"]}),
        (["ENV a some words  here"], {"Env": ["a=some words  here"]}),
        (["ENV a=1", "ENV a=2 b=$a c=${a} d=${none:-x$a} e=${a:+y}"], {"Env": ["a=2", "b=1", "c=1", "d=x1", "e=y"]}),
        (
            ["EXPOSE 80 53/udp 8000-8001/TCP"],
            {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}}},
        ),
        (['LABEL a=b \'c d\'="e\\"f"'], {"Labels": {"a": "b", "c d": 'e"f'}}),
        (["EXPOSE 127.0.0.1:8080:80 9000:90 7/sctp"], {"ExposedPorts": {"80/tcp": {}, "90/tcp": {}, "7/sctp": {}}}),
        (["ONBUILD RUN x", "ONBUILD ENV a=b"], {"OnBuild": ["RUN x", "ENV a=b"]}),
        (["ENV a=b \\", "c=d", "# e", "CMD x"], {"Env": ["a=b", "c=d"], "Cmd": ["/bin/sh", "-c", "x"]}),
        (["STOPSIGNAL SIGUSR1"], {"StopSignal": "SIGUSR1"}),
        (["USER 1000:1000"], {"User": "1000:1000"}),
        (['VOLUME ["/a b", "/c"]', "VOLUME /d /e"], {"Volumes": {"/a b": {}, "/c": {}, "/d": {}, "/e": {}}}),
        (["WORKDIR /a", "WORKDIR b/../c"], {"WorkingDir": "/a/c"}),
        (["ENV D=x", "WORKDIR /$D/y"], {"Env": ["D=x"], "WorkingDir": "/x/y"}),
        (["ONBUILD run  make", "onbuild COPY . /x"], {"OnBuild": ["run  make", "COPY . /x"]}),
        (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
        (
            ['HEALTHCHECK --interval=5s --retries=2 CMD ["a", "b"]'],
            {"Healthcheck": {"Test": ["CMD", "a", "b"], "Interval": 5 * 10**9, "Retries": 2}},
        ),
        (
            ["HEALTHCHECK --start-period=1m CMD a b"],
            {"Healthcheck": {"Test": ["CMD-SHELL", "a b"], "StartPeriod": 60 * 10**9}},
        ),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
def test_the_lines_of_a_dockerfile(lines: list[str], config: Config) -> None:
    assert apply({}, lines) == config


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ADD a b", "ADD is not a valid change command"),
        ("RUN x", "RUN is not a valid change command"),
        ("NOPE x", "unknown instruction: NOPE"),
        ("SHELL x", "SHELL requires the arguments to be in JSON form"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=b c", 'can\'t find = in "c"'),
        ("ENV =b", "ENV names can not be blank"),
        ("ENV a='b", "unexpected end of statement"),
        ("ENV a=${b!c}", "failed to process"),
        ("EXPOSE http", "invalid containerPort: http"),
        ("STOPSIGNAL nope", "Invalid signal: nope"),
        ("VOLUME relative", "invalid volume: relative"),
        ("VOLUME /", "invalid volume: /"),
        ("HEALTHCHECK x", 'Unknown type "X" in HEALTHCHECK'),
        ("HEALTHCHECK --every=5s CMD x", "unknown flag: --every"),
        ("HEALTHCHECK --interval=x CMD x", "invalid duration"),
    ],
)
def test_a_line_that_is_wrong(line: str, says: str) -> None:
    with pytest.raises(MinirunError) as caught:
        apply({}, [line])
    assert says in caught.value.message


def test_an_entrypoint_takes_the_command_of_before_away() -> None:
    before: Config = {"Cmd": ["old"], "Env": ["A=1"]}
    assert apply(before, ['ENTRYPOINT ["new"]']) == {"Entrypoint": ["new"], "Env": ["A=1"]}
    assert before == {"Cmd": ["old"], "Env": ["A=1"]}

"""What a container takes from its image, and what its own flags replace."""

from typing import Any

import pytest

from minirun.image.defaults import health_of, inherit
from minirun.image.document import Config, build
from minirun.image.records import Image
from minirun.model import Health, Mount, Spec
from tests.unit.image.refusals import answer


def _image(config: Config) -> Image:
    document = build(config, (), (), 0, "amd64")
    return Image(document.id, document.text, ())


@pytest.mark.parametrize(
    ("config", "entrypoint", "words", "argv"),
    [
        ({"Cmd": ["c"]}, (), (), ("c",)),
        ({"Cmd": ["c"]}, (), ("w",), ("w",)),
        ({"Entrypoint": ["e"]}, (), (), ("e",)),
        ({"Entrypoint": ["e", "f"], "Cmd": ["c"]}, (), (), ("e", "f", "c")),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, (), ("w",), ("e", "w")),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, ("x",), (), ("x",)),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, ("x",), ("w",), ("x", "w")),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, ("",), ("w",), ("w",)),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, ("",), (), "no command specified"),
        ({}, (), (), "no command specified"),
        ({"Cmd": [""]}, (), (), "executable file not found"),
    ],
)
def test_the_command(config: Config, entrypoint: tuple[str, ...], words: tuple[str, ...], argv: Any) -> None:
    spec = Spec("x", words, entrypoint=entrypoint)
    found = answer(lambda: inherit(spec, _image(config), ()))
    if isinstance(found, str):
        assert argv in found
    else:
        assert found.argv == argv
        assert found.argv[: len(found.entrypoint)] == found.entrypoint


def test_what_is_said_goes_over_the_image() -> None:
    config: Config = {
        "Cmd": ["c"],
        "Env": ["A=1", "B=2", "C=3"],
        "WorkingDir": "/w",
        "User": "7",
        "Labels": {"a": "1", "b": "2"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data/": {}, "/tmp/own": {}},
        "StopSignal": "SIGINT",
    }
    asked = Spec("x", (), workdir="")
    found = inherit(asked, _image(config), ())
    assert (found.env, found.workdir, found.user) == ((("A", "1"), ("B", "2"), ("C", "3")), "/w", "7")
    assert (found.labels, found.expose, found.stop_signal) == ((("a", "1"), ("b", "2")), ("80/tcp",), "SIGINT")
    assert found.mounts == (Mount("volume", "", "/data"), Mount("volume", "", "/tmp/own"))
    mount = Mount("bind", "/x", "/data")
    asked = Spec(
        *("x", ()),
        env=(("B", "x"), ("D", "4")),
        workdir="/v",
        user="8",
        labels=(("b", "x"),),
        expose=("81/tcp",),
        mounts=(mount,),
        stop_signal="SIGHUP",
    )
    found = inherit(asked, _image(config), ["C"])
    assert (found.env, found.workdir, found.user) == ((("A", "1"), ("B", "x"), ("D", "4")), "/v", "8")
    assert (found.labels, found.expose, found.stop_signal) == ((("a", "1"), ("b", "x")), ("80/tcp", "81/tcp"), "SIGHUP")
    assert found.mounts == (mount, Mount("volume", "", "/tmp/own"))
    assert inherit(Spec("x", (), workdir=""), _image({"Cmd": ["c"]}), ()).workdir == "/"


def test_the_health_check_of_an_image() -> None:
    assert health_of(_image({})) is None
    assert health_of(_image({"Healthcheck": {"Test": ["NONE"]}})) is None
    said = {"Test": ["CMD-SHELL", "x y"], "Interval": 2 * 10**9, "Retries": 9}
    assert health_of(_image({"Healthcheck": said})) == Health(("/bin/sh", "-c", "x y"), interval=2, retries=9)
    assert health_of(_image({"Healthcheck": {"Test": ["CMD", "x"]}})) == Health(("x",))

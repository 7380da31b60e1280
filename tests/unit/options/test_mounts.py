"""`-v`, `--mount` and `--tmpfs`: tables of what is meant and what is refused."""

import os

import pytest

from minirun.errors import MinirunError
from minirun.model import Mount
from minirun.options import mounts as words
from minirun.options.mount_values import parse_tmpfs_options

MOUNTS = {
    ("-v", "/x"): Mount("volume", "", "/x"),
    ("-v", "data:/x"): Mount("volume", "data", "/x"),
    ("-v", "data:/x:ro,nocopy"): Mount("volume", "data", "/x", read_only=True, no_copy=True),
    ("-v", "/a b:/c d/../x:rslave,ro"): Mount("bind", "/a b", "/x", read_only=True, propagation="rslave"),
    ("-v", "./a:/x"): Mount("bind", os.path.abspath("a"), "/x"),
    ("--tmpfs", "/x"): Mount("tmpfs", "", "/x", options="noexec,nosuid,nodev"),
    ("--tmpfs", "/x:exec,size=1k,ro"): Mount("tmpfs", "", "/x", options="nosuid,nodev,ro,size=1024"),
    ("--mount", "dst=/x"): Mount("volume", "", "/x", must_exist=True),
    ("--mount", "type=bind,src=/a:b,target=/x,readonly"): Mount("bind", "/a:b", "/x", True, must_exist=True),
    ("--mount", 'type=bind,"source=/a,b",dst=/x,ro=false'): Mount("bind", "/a,b", "/x", must_exist=True),
    ("--mount", "type=bind,src=/a,dst=/x,bind-propagation=rshared,bind-recursive=writable"): Mount(
        "bind", "/a", "/x", options="writable", propagation="rshared", must_exist=True
    ),
    ("--mount", "src=data,dst=/x,volume-nocopy,volume-subpath=a/b"): Mount(
        "volume", "data", "/x", no_copy=True, subpath="a/b", must_exist=True
    ),
    ("--mount", "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=700"): Mount(
        "tmpfs", "", "/x", options="noexec,nosuid,nodev,size=1048576,mode=700", must_exist=True
    ),
}


@pytest.mark.parametrize("flag", list(MOUNTS), ids=" ".join)
def test_what_is_meant(flag: tuple[str, str]) -> None:
    texts = [[flag[1]] if flag[0] == name else [] for name in ("-v", "--mount", "--tmpfs")]
    assert words.parse_mounts(*texts) == (MOUNTS[flag],)


WRONG = {
    ("-v", "x:/y"): "volume name is too short",
    ("-v", "a/b:/y"): "includes invalid characters for a local volume name",
    ("-v", "data:y"): "mount path must be absolute",
    ("-v", "data:/"): "destination can't be '/'",
    ("-v", "/a:/b:c:d"): "invalid volume specification",
    ("-v", "/a:/b:nocopy"): "invalid mode: nocopy",
    ("-v", "data:/b:rslave"): "invalid mode: rslave",
    ("-v", "/a:/b:ro,rw"): "invalid mode: ro,rw",
    ("--tmpfs", "/x:dev"): "mounts everything with nodev",
    ("--tmpfs", "/x:frob"): 'invalid tmpfs option ["frob"]',
    ("--mount", "type=bind,src=/a"): "target is required",
    ("--mount", "type=bind,dst=/a"): "field Source must not be empty",
    ("--mount", "type=bind,src=a,dst=/a"): "mount path must be absolute",
    ("--mount", "type=tmpfs,src=/a,dst=/a"): "field Source must not be specified",
    ("--mount", "type=nfs,dst=/a"): "mount type nfs is not supported",
    ("--mount", "dst=/a,frob=1"): "unexpected key 'frob'",
    ("--mount", "dst=/a,readonly=maybe"): "invalid value for readonly: maybe",
    ("--mount", "type=bind,src=/a,dst=/a,volume-nocopy"): "cannot mix 'volume-*' options with mount type 'bind'",
    ("--mount", "type=bind,src,dst=/a"): "must be a key=value pair",
    ("--mount", 'dst="/a'): "",
    ("--mount", "src=data,dst=/a,volume-subpath=../x"): "subpath must be a relative path",
    ("--mount", "src=data,dst=/a,volume-driver=nfs"): "plugin",
}


@pytest.mark.parametrize("flag", list(WRONG), ids=" ".join)
def test_what_is_refused(flag: tuple[str, str]) -> None:
    texts = [[flag[1]] if flag[0] == name else [] for name in ("-v", "--mount", "--tmpfs")]
    with pytest.raises(MinirunError) as caught:
        words.parse_mounts(*texts)
    assert WRONG[flag] in caught.value.message + caught.value.hint


def test_two_at_one_place() -> None:
    for second in (([], ["type=bind,src=/b,dst=/x"], []), ([], [], ["/x"]), (["data:/y/../x"], [], [])):
        with pytest.raises(MinirunError, match=r"^Duplicate mount point: /x$"):
            words.parse_mounts(["/a:/x", *second[0]], *second[1:])
    # A volume without a name gives way, as what an image declares does; of two tmpfs the last is meant.
    assert words.parse_mounts(["/x", "data:/x", "/x"], [], []) == (Mount("volume", "data", "/x"),)
    assert words.parse_mounts([], [], ["/x", "/x:exec"])[0].options == parse_tmpfs_options("exec")

"""`-v`, `--mount` and `--tmpfs`: tables of what is meant and what is refused."""

import os
import re
from dataclasses import replace

import pytest

from minirun.errors import MinirunError
from minirun.kernel.filesystems import split_options
from minirun.model import Mount
from minirun.options import mounts as words
from minirun.options.mount_values import parse_tmpfs_options
from minirun.options.volumes import parse_volume_options
from minirun.volume.filesystems import mount_arguments
from minirun.volume.records import Volume

MOUNTS = {
    ("-v", "/x"): Mount("volume", "", "/x"),
    ("-v", "data:/x"): Mount("volume", "data", "/x"),
    ("-v", "data:/x:ro,nocopy"): Mount("volume", "data", "/x", read_only=True, no_copy=True, modes="ro,nocopy"),
    ("-v", "/a b:/c d/../x:rslave,ro"): Mount(
        "bind", "/a b", "/x", read_only=True, propagation="rslave", modes="rslave,ro"
    ),
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
    ("--mount", 'src=data,dst=/x,volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=1m,ro"'): Mount(
        "volume",
        "data",
        "/x",
        must_exist=True,
        volume_options=(("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,ro")),
    ),
    ("--mount", "type=image,src=busybox,dst=/x,image-subpath=bin"): Mount(
        "image", "busybox", "/x", True, must_exist=True, subpath="bin"
    ),
    ("--mount", "src=data,dst=/x,volume-label=a=b,volume-label=c"): Mount(
        "volume", "data", "/x", must_exist=True, volume_labels=(("a", "b"), ("c", ""))
    ),
    ("--mount", "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=700"): Mount(
        "tmpfs", "", "/x", options="noexec,nosuid,nodev,size=1048576,mode=700", must_exist=True
    ),
}


@pytest.mark.parametrize("flag", list(MOUNTS), ids=" ".join)
def test_what_is_meant(flag: tuple[str, str]) -> None:
    texts = [[flag[1]] if flag[0] == name else [] for name in ("-v", "--mount", "--tmpfs")]
    asked = flag[1].partition(":")[2] if flag[0] == "--tmpfs" else None  # for inspect
    assert words.parse_mounts(*texts) == (replace(MOUNTS[flag], asked=asked),)


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
    ("--mount", "type=image,dst=/a"): 'invalid mount config for type "image": field Source must not be empty',
    ("--mount", "src=data,dst=/a,image-subpath=x"): "cannot mix 'image-*' options with mount type 'volume'",
    ("--mount", "type=image,src=x,dst=/a,image-subpath=../x"): "subpath must be a relative path",
    ("--mount", "src=data,dst=/a,volume-opt=type=tmpfs"): 'missing required option: "device"',
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


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["what=x"], 'invalid option: "what"'),
        (["size=1m"], "quota size requested but no quota support"),
        (["type=tmpfs"], 'missing required option: "device"'),
        (["device=tmpfs"], 'missing required option: "type"'),
        (["o=bind", "device=/x"], 'missing required option: "type"'),
        (["type=none", "device=/x"], "type=none needs o=bind"),
        (["type=none", "device=/x", "o=bind,exec"], 'invalid mount option: "exec"'),
        (["type=none", "device=x", "o=bind"], "device must be an absolute path"),
        (["type=ext4", "device=/x", "o=bind"], "type=ext4 cannot have o=bind"),
        (["type=tmpfs", "device=tmpfs", "o=size=1m,remount"], 'invalid mount option: "remount"'),
    ],
)
def test_volume_options_that_are_refused(texts: list[str], says: str) -> None:
    with pytest.raises(MinirunError, match=re.escape(f"create: {says}")):
        parse_volume_options(texts)


@pytest.mark.parametrize(
    ("options", "device", "data"),
    [
        ({"type": "nfs", "device": ":/srv", "o": "addr=server,rw"}, ":/srv", "addr=192.0.2.7,rw"),
        ({"type": "cifs", "device": "//server/a/b", "o": "user=x"}, "//192.0.2.7/a/b", "user=x"),
        ({"type": "tmpfs", "device": "tmpfs", "o": "addr=server"}, "tmpfs", "addr=server"),
    ],
)
def test_host_names_are_resolved_for_the_kernel(options: dict[str, str], device: str, data: str) -> None:
    addresses = {"server": "192.0.2.7"}
    assert mount_arguments(Volume("v", options=options), addresses.__getitem__) == (device, data)


@pytest.mark.parametrize(
    ("text", "flags", "data"),
    [
        ("", 0, ""),
        ("size=10m,ro,nosuid,mode=700", 1 | 2, "size=10m,mode=700"),
        ("ro,noexec,defaults,rw,exec,noatime", 1024, ""),
        ("data=journal,user_xattr", 0, "data=journal,user_xattr"),
    ],
)
def test_words_of_mount_are_split_into_flags_and_data(text: str, flags: int, data: str) -> None:
    assert split_options(text) == (flags, data)

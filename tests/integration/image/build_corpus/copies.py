"""COPY and ADD from the build context: sources, destinations, owners, modes; what .dockerignore leaves out."""

from typing import Any

from tests.integration.image.build_corpus.case import SET_ID, Case, Directory, Entry, Fifo, File, HardLink, Symlink

_TREE: dict[str, Entry] = {
    "a": "a\n",
    "b.txt": "b\n",
    "dir/one": "1\n",
    "dir/two.txt": "2\n",
    "dir/sub/three": "3\n",
    "dir/.hidden": "h\n",
    "empty": Directory(),
    ".dot": "dot\n",
}

_DESTINATIONS = [
    Case(
        "copy-files-to",
        r"""
        FROM busybox
        COPY a /file
        COPY a /deep/er/file
        COPY a b.txt /several/
        COPY a /etc
        WORKDIR /w
        COPY a .
        COPY a rel/file
        COPY b.txt ../up
        COPY ./dir/../a /b.txt /cleaned/./x/../y/
        """,
        files=_TREE,
    ),
    Case(
        "copy-directories-to",
        r"""
        FROM busybox
        COPY dir /new
        COPY dir /etc
        COPY dir/. /dot
        COPY dir dir/sub /merged/
        COPY dir/sub a /mixed/
        COPY empty /empty/
        COPY . /all
        """,
        files=_TREE,
    ),
    Case(
        "copy-replaces",
        "FROM busybox\nCOPY a /x\nCOPY b.txt /x\nCOPY dir /d\nCOPY other /d",
        files={**_TREE, "other/one": "new\n", "other/sub/four": File("4\n", 0o600)},
    ),
    Case(
        "copy-through-symlinked-destination",
        r"""
        FROM busybox
        RUN mkdir /real; ln -s real /link; ln -s /nowhere /dangling; ln -s ../../../etc /up; ln -s real/f /to-file
        COPY a /link/
        COPY a /link/name
        COPY dir /link
        COPY a /up/
        COPY a /to-file
        COPY a /dangling/
        """,
        files=_TREE,
    ),
    Case(
        "copy-json-form-and-variables",
        'FROM busybox\nCOPY ["with space", "b", "/to dir/"]\nENV F=b D=/dst\nCOPY $F ${D}/x\nCOPY ["${F}", "$D/"]',
        files={"with space": "1", "b": "2"},
    ),
    Case(
        "dockerfile-elsewhere",
        "FROM busybox\nCOPY . /all",
        files={**_TREE, "sub/other.file": "FROM busybox\nENV OTHER=1\nCOPY . /all"},
        flags=("-f", "sub/other.file"),
    ),
]

_SOURCES = [
    Case(
        "copy-globs",
        r"""
        FROM busybox
        COPY *.txt ? /files/
        COPY d* /directory/
        COPY dir/* /below/
        COPY [a-b]* [^a]*.txt */*.txt /ranges/
        COPY * /everything/
        COPY dir/t*o* /file
        """,
        files=_TREE,
    ),
    Case(
        "copy-escaped-globs",
        r"""
        FROM busybox
        COPY file[[]1].txt /a/
        COPY star\*.txt /b/
        """,
        files={"file[1].txt": "1", "file1.txt": "2", "star*.txt": "3", "starx.txt": "4"},
    ),
    Case(
        "copy-odd-names",
        "FROM busybox\nCOPY . /all",
        files={
            **dict.fromkeys(
                (" ", "-n", "ü", "back\\slash", "new\nline", "q\"'", "#c", "trailing ", "...", "n" * 255), "1"
            ),
            "/".join(["p" * 120] * 3) + "/deep": "2",
        },
    ),
    Case(
        "copy-symlinks",
        r"""
        FROM busybox
        COPY to-file /followed
        COPY to-dir /directory
        COPY tree /tree
        COPY to-file to-dir /both/
        """,
        files={
            **_TREE,
            "to-file": Symlink("a"),
            "to-dir": Symlink("dir"),
            "tree/relative": Symlink("../a"),
            "tree/absolute": Symlink("/etc/passwd"),
            "tree/dangling": Symlink("nowhere"),
            "tree/directory": Symlink("../dir"),
        },
    ),
    Case(
        "copy-symlink-by-glob",
        "FROM busybox\nCOPY to-* /x/\nCOPY to-dir/one /below\nCOPY to-dir/sub /sub",
        files={**_TREE, "to-file": Symlink("a"), "to-dir": Symlink("dir")},
    ),
    Case(
        "copy-hard-links-and-fifo",
        "FROM busybox\nCOPY tree /tree",
        files={"tree/one": "content", "tree/sub/two": HardLink("tree/one"), "tree/fifo": Fifo()},
    ),
    Case(
        "copy-modes-and-owners",
        "FROM busybox\nCOPY tree /tree\nCOPY tree/setuid tree/group /files/\nCOPY tree/closed /closed",
        files={
            "tree/setuid": File("1", 0o4755, owner=(12, 34)),
            "tree/group": File("1", 0o2710, owner=(0, 34)),
            "tree/none": File("1", 0, owner=(12, 34)),
            "tree/closed": Directory(0o700, owner=(5, 6)),
            "tree/closed/f": File("1", 0o600),
            "tree/sticky": Directory(0o1777),
            "tree/setgid": Directory(0o2775),
        },
        differs={
            "/files/group mode: 0710 | 2710": SET_ID,
            "/files/setuid mode: 0755 | 4755": SET_ID,
            "/tree/group mode: 0710 | 2710": SET_ID,
            "/tree/setuid mode: 0755 | 4755": SET_ID,
        },
    ),
    Case(
        "copy-keeps-times",
        "FROM busybox\nCOPY tree /tree\nCOPY tree/old /old\nCOPY tree/sub /sub/",
        files={"tree/old": File("1", mtime=1), "tree/sub/new": File("2", mtime=1_700_000_000), "tree/s": Symlink("x")},
    ),
    Case(
        "copy-into-existing-directory-keeps-it",
        "FROM busybox\nRUN mkdir -m 700 /kept /kept/sub; chown 5:6 /kept /kept/sub\nCOPY dir /kept\nCOPY a /kept/sub/",
        files={**_TREE, "dir/sub": Directory(0o755)},
    ),
]

_PARENTS = "BuildKit gives the owner of --chown to the directories that it makes, too"
_OWNERS = [
    Case(
        "chown",
        r"""
        FROM busybox
        RUN echo 'joe:x:55:66::/homes/joe:/bin/sh' >> /etc/passwd; echo 'staff:x:77:' >> /etc/group
        COPY --chown=12:34 a /ids
        COPY --chown=12 a /id
        COPY --chown=www-data:staff a /names
        COPY --chown=joe:77 dir /new/parent/dir
        COPY --chown=1:staff dir/sub /etc/
        ADD --chown=1:2 a /added
        ENV O=3:4
        COPY --chown=$O a /variable
        USER 9:9
        COPY a /of-user
        COPY dir /of-user-dir
        """,
        files=_TREE,
        differs={"/new/ owner: 0:0 | 55:77": _PARENTS, "/new/parent/ owner: 0:0 | 55:77": _PARENTS},
    ),
    Case(
        "chown-user-with-other-group",
        "FROM busybox\nRUN echo joe:x:55:66::/:/bin/sh >> /etc/passwd; echo joe:x:88: >> /etc/group\n"
        "COPY --chown=joe a /a",
        files=_TREE,
        differs={
            "/a owner: 55:88 | 55:66": "BuildKit takes the user's group, the classic builder one of the same name"
        },
    ),
    Case("chown-on-scratch", "FROM scratch\nCOPY --chown=1:2 a /sub/a", files=_TREE),
]

_IGNORED: dict[str, Entry] = {
    "keep": "1",
    "drop": "1",
    "a.log": "1",
    "b.md": "1",
    "README.md": "1",
    "sub/a.log": "1",
    "sub/deep/a.log": "1",
    "sub/deep/keep": "1",
    "sub/temp/x": "1",
    "vendor/one/keep": "1",
    "vendor/two/drop": "1",
    ".git/config": "1",
}


def _ignoring(name: str, rules: str, **fields: Any) -> Case:
    return Case(f"ignore-{name}", "FROM busybox\nCOPY . /all", files={**_IGNORED, ".dockerignore": rules}, **fields)


_IGNORE = [
    _ignoring("patterns", "# comment\n*.log\n*/temp\n  drop  \n\n/vendor/one/\n.git"),
    _ignoring("any-depth", "**/*.log\n**/temp\nvendor/**\n"),
    _ignoring("exceptions", "*.md\n!README.md\nsub\n!sub/deep/keep\n"),
    _ignoring("all-but", "*\n!keep\n!vendor/one\n"),
    _ignoring(
        "all-but-deep",
        "**\n!sub/**/keep\n",
        differs=dict.fromkeys(
            ("/all/sub: None | directory", "/all/sub/deep: None | directory", "/all/sub/deep/keep: None | file"),
            "the classic builder's client does not look for exceptions behind ** in a directory that is left out",
        ),
    ),
    _ignoring("order-and-dockerfile", "!drop\ndrop\n!keep\nkeep\n!keep\nDockerfile\n.dockerignore\n"),
    _ignoring("odd", "./drop\n../outside\nsub/../keep\n?.md\n[ab].log\nvendor/*/drop\n"),
    _ignoring("exception-below-glob", "vendor/*\n!vendor/two\n**/deep\n"),
    Case(
        "ignore-and-globs",
        "FROM busybox\nCOPY *.md sub /x/\nCOPY ke* /y/",
        files={**_IGNORED, ".dockerignore": "README.md\nsub/deep\n"},
    ),
]

CASES = [*_DESTINATIONS, *_SOURCES, *_OWNERS, *_IGNORE]

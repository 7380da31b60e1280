"""RUN, and what it finds: the shell, the user, the working directory, volumes; what it leaves in a layer."""

from tests.integration.image.build_corpus.case import CAPABILITY, EMPTY_LAYER, VOLUME_KEPT, WORKDIR_OWNER, Case, File

_RUN = [
    Case(
        "run-forms",
        r"""
        FROM busybox
        RUN echo "shell $0" '$HOME' "$HOME" > /shell && \
            echo more \
            >> /shell
        RUN ["/bin/sh", "-c", "echo \"exec $0\" > /exec", "zero"]
        RUN ["mkdir", "/$HOME"]
        # comment
        RUN echo a# b > /hash # comment
        RUN echo 'one\
        two' > /continued
        """,
    ),
    Case(
        "run-sees",
        r"""
        FROM busybox
        ENV A=1
        WORKDIR /w
        USER 12:34
        RUN (id -u; id -g; id -G; pwd; echo $PATH $HOME $A; umask; cat; test -t 0 || echo no terminal) > /tmp/seen
        """,
    ),
    Case(
        "run-that-changes-nothing",
        "FROM busybox\nRUN true\nRUN : > /dev/null\nENV A=1",
        differs={"history: L--- | LLL-": EMPTY_LAYER},
    ),
    Case(
        "run-as-user-by-name",
        r"""
        FROM busybox
        RUN echo 'joe:x:55:66::/homes/joe:/bin/sh' >> /etc/passwd; echo 'staff:x:77:joe' >> /etc/group; chmod 1777 /tmp
        USER joe
        RUN (id -u; id -g; id -G; echo $HOME) > /tmp/joe
        USER joe:staff
        RUN (id -u; id -g; id -G; echo $HOME) > /tmp/staff
        USER 55
        RUN (id -u; id -g; echo $HOME) > /tmp/number
        """,
    ),
    Case(
        "run-writes-where-mounts-are",
        "FROM busybox\nRUN mkdir /dev/shm/x; echo > /tmp/x; mkdir -p /run/x; echo 1 > /etc/own; test -e /etc/hosts",
    ),
]

_LAYERS = [
    Case(
        "whiteouts",
        r"""
        FROM busybox
        RUN mkdir -p /d/deep /gone/deep /opaque/deep; touch /d/a /d/b /d/deep/c /gone/deep/f; \
            touch /opaque/old /opaque/deep/old
        RUN rm /d/a /d/deep/c; rm -r /gone /opaque; mkdir -p /opaque/deep; touch /opaque/new /opaque/deep/new
        RUN rm -r /d; rm /bin/vi
        """,
    ),
    Case(
        "files-and-directories-change-places",
        r"""
        FROM busybox
        RUN mkdir -p /dir/sub /dir2 /link-target; touch /dir/sub/f /file /dir2/x /link-target/kept; \
            ln -s link-target /link
        RUN rm -r /dir /dir2; echo file > /dir; ln -s /etc /dir2; rm /file; mkdir /file; touch /file/inside; rm /link; \
            mkdir /link; touch /link/own
        RUN rm /dir; mkdir /dir; touch /dir/again
        """,
    ),
    Case(
        "hard-links",
        r"""
        FROM busybox
        RUN mkdir /a /b; echo content > /a/one; ln /a/one /a/two; ln /a/one /b/three; \
            ln -s one /a/soft; ln /a/soft /a/hard; mkfifo /a/fifo; ln /a/fifo /b/fifo
        RUN echo more >> /a/two
        RUN rm /a/one
        """,
    ),
    Case(
        "modes",
        r"""
        FROM busybox
        RUN cd /srv 2>/dev/null || mkdir -p /srv && cd /srv; for m in 0 1 4 20 400 755 1755 2755 4755 6711 7777; do \
            touch f$m; chmod $m f$m; mkdir d$m; chmod $m d$m; done; chown 12:34 f755 d755; mkfifo -m 640 fifo
        RUN chmod 4711 /srv/f755; chmod 1777 /srv/d755; chown 99:98 /srv/f4755
        """,
    ),
    Case(
        "times",
        "FROM busybox\nRUN mkdir /t; cd /t; touch -d @1000000000 old; touch -d @0 epoch; ln -s x link;"
        " touch -d '2035-01-02 03:04:05' later; touch -h -d @77 link 2>/dev/null; mkdir dir; touch -d @123456 dir .",
    ),
    Case(
        "odd-names",
        r"""
        FROM busybox
        RUN mkdir /odd; cd /odd; touch -- ' ' 'a b' -n '*' '[a]' '\' 'a\b' "$(printf 'new\nline')" 'ü'; \
            touch '"' "'" '.hidden' ... .wh "$(printf '\001\377')" 'x=y' '#c' 'trailing '; \
            n=$(printf 'n%.0s' $(seq 255)); touch $n; mkdir $n.d 2>/dev/null; \
            p=.; for i in 1 2 3; do p=$p/$(printf 'p%.0s' $(seq 120)); done; mkdir -p $p; touch $p/deep; \
            ln -s $p/deep long
        RUN rm '/odd/*' '/odd/a b'
        """,
    ),
    Case(
        "empty-directories-and-holes",
        "FROM busybox\nRUN mkdir -p /e/one /e/two/three; mkdir -m 700 /e/four; truncate -s 3000000 /hole\n"
        "RUN echo >> /hole; rmdir /e/one; mkdir /e/one; seq 100000 > /numbers",
    ),
]

_WORKDIR = [
    Case(
        "workdir",
        r"""
        FROM busybox
        WORKDIR /a/b
        RUN pwd > seen
        WORKDIR c
        WORKDIR ../d/./e/
        ENV D=/from/env E=rel
        WORKDIR $D/${E}
        RUN pwd > seen
        WORKDIR "/quoted dir"
        RUN pwd > seen
        WORKDIR /etc
        WORKDIR /
        """,
        differs={"history: LLLLL-LLLL-- | LLLLL-LLLLL-": EMPTY_LAYER},
    ),
    Case(
        "workdir-of-a-user",
        "FROM busybox\nUSER 12:34\nWORKDIR /made/by/user\nUSER www-data\nWORKDIR named\nUSER root\nWORKDIR /etc/root",
        differs={
            "/made/ owner: 0:0 | 12:34": WORKDIR_OWNER,
            "/made/by/ owner: 0:0 | 12:34": WORKDIR_OWNER,
            "/made/by/user/ owner: 0:0 | 12:34": WORKDIR_OWNER,
            "/made/by/user/named/ owner: 0:0 | 33:33": WORKDIR_OWNER,
        },
    ),
    Case(
        "workdir-through-symlinks", "FROM busybox\nRUN mkdir /real; ln -s real /link\nWORKDIR /link/sub\nRUN pwd > seen"
    ),
    Case("workdir-of-scratch", "FROM scratch\nWORKDIR /a/b\nCOPY f .", files={"f": "1"}),
]

_VOLUMES = [
    Case(
        "volume-then-changes",
        "FROM busybox\nRUN mkdir /v; echo before > /v/before\nVOLUME /v\nRUN echo after > /v/after; rm /v/before\n"
        "COPY f /v/copied",
        files={"f": "1"},
        differs={
            "history: LL--L | LL-LL": EMPTY_LAYER,
            "/v/after: None | file": VOLUME_KEPT,
            "/v/before: file | None": VOLUME_KEPT,
        },
    ),
]

_XATTRS = [
    Case(
        "file-capabilities-of-the-context",
        "FROM busybox\nCOPY cap /cap",
        files={"cap": File("1", 0o755, xattrs={"security.capability": CAPABILITY})},
        differs={
            f"/cap xattrs: () | (('security.capability', {CAPABILITY.decode()!r}),)": "the classic builder loses it"
        },
    ),
    Case("user-xattrs", "FROM busybox\nCOPY x /x", files={"x": File("1", xattrs={"user.note": b"value"})}),
]

CASES = [*_RUN, *_LAYERS, *_WORKDIR, *_VOLUMES, *_XATTRS]

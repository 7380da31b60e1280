"""Several stages, images as sources, targets, and triggers."""

from tests.integration.image.build_corpus.case import EMPTY_LAYER, NO_ENTRY, SET_ID, Case

_FROM = [
    Case(
        "copy-from-stage",
        r"""
        FROM busybox AS Maker
        RUN mkdir -p /out/sub; echo 1 > /out/one; echo 2 > /out/sub/two; ln -s one /out/link; ln /out/one /out/hard; \
            chown -R 12:34 /out; chmod 4750 /out/one; touch -d @1000000000 /out/one /out/sub/two /out/sub /out
        FROM busybox
        COPY --from=maker /out /by-name
        COPY --from=0 /out/one /out/sub /by-number/
        COPY --from=MAKER --chown=5:6 out /chowned
        COPY --from=maker /out/l* /glob/
        COPY --from=maker /out/link /link
        """,
        differs={"/chowned/hard mode: 0750 | 4750": SET_ID, "/chowned/one mode: 0750 | 4750": SET_ID},
    ),
    Case(
        "copy-from-image",
        "FROM scratch\nCOPY --from=busybox /bin/busybox /bin/sh\nCOPY --from=busybox:latest /etc/passwd /etc/\n"
        'RUN echo 1 > /one\nCMD ["/bin/sh"]',
    ),
    Case(
        "stage-from-stage",
        "FROM busybox AS one\nARG A=arg\nENV E=env\nWORKDIR /w\nRUN echo $A > one\nCMD first\n"
        'FROM one AS two\nRUN echo $A $E > two\nFROM two\nENTRYPOINT ["third"]\nRUN cat one two > three',
        differs=dict.fromkeys(
            ("/w/two content: 367c9b4686a7 | 80ab7b9379be", "/w/three content: cf84e5935fb1 | 319b48cc5585"),
            "BuildKit's stages inherit the arguments of the stage that they are built from (ARG in the reference)",
        ),
    ),
    Case(
        "target",
        "FROM busybox AS first\nENV A=1\nFROM busybox AS second\nENV A=2\nFROM nowhere.invalid/none\nRUN false",
        flags=("--target", "second"),
    ),
    Case("name-hides-image", "FROM busybox AS alpine\nENV A=1\nFROM alpine\nENV B=2"),
    Case(
        "symlinks-of-another-stage",
        "FROM busybox AS a\nRUN mkdir /data; echo 1 > /data/f; ln -s /data /abs; ln -s data/f /rel; ln -s ../data /up\n"
        "FROM busybox\nCOPY --from=a /abs/f /1\nCOPY --from=a /rel /2\nCOPY --from=a /up /3\nCOPY --from=a /abs /4",
    ),
    Case(
        "directories-of-another-stage",
        "FROM busybox AS a\nRUN mkdir -m 700 /x; mkdir -m 1777 /x/y; chown 5:6 /x; chown 7:8 /x/y; touch /x/y/f\n"
        "FROM busybox\nCOPY --from=a /x /x\nCOPY --from=a /x/ /etc/\nCOPY --from=a /x/y/f /n/e/w",
    ),
]

_TRIGGERS = [
    Case(
        "onbuild-runs",
        "FROM base\nENV OWN=1\nRUN ls /app > /listed",
        base="FROM busybox\nENV A=1\nONBUILD ENV B=$A\nONBUILD COPY f /app/\nONBUILD RUN echo $B > /ran\n"
        "ONBUILD WORKDIR /app\nCMD old",
        files={"f": "1"},
        differs={"history: L-------LL--L | L---LLL-L": f"{NO_ENTRY}; {EMPTY_LAYER}"},
    ),
    Case(
        "onbuild-of-a-stage",
        "FROM busybox AS a\nONBUILD ENV A=trigger\nFROM a\nENV B=$A",
        differs={"history: L--- | L--": NO_ENTRY},
    ),
]

_OTHERS = [
    Case(
        "comments-and-no-newline", "#syntax-less\n\n  # indented\n\tFROM busybox\n  ENV A=1\n#\nRUN echo \\\n one > /f"
    ),
]

CASES = [*_FROM, *_TRIGGERS, *_OTHERS]

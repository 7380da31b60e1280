"""Instructions that change the configuration: ENV, ARG, LABEL, CMD and the like.

Each step costs Docker's builder a tenth of a second: cases have few, and hold what does not interfere.
"""

from tests.integration.image.build_corpus.case import NO_ENTRY, WORKDIR_OWNER, Case

_VARIABLES = [
    Case(
        "env-forms",
        r"""
        FROM busybox
        ENV A=1 B="two words" C='single $A' D=esc\ aped E=a"b c"d'e f'g
        ENV F legacy   form  with   blanks
        ENV G "quoted legacy" H=no
        ENV I=1 \
            # a comment within
            J=2 \

            K=3 L= M="" N='' GRÜẞE='schöne Grüße' P="a=b=c" d.e-f=1
        """,
    ),
    Case(
        "env-quotes-and-escapes",
        r"""
        FROM busybox
        ENV A="it's" B='say "x"' C=\" D=\' E=\\ F="\\" G='\' H="a\"b" I="a\nb" J='a\nb' K=a\nb \
            L="tab	here" M="\$HOME" N='$HOME' O=\$HOME P="a\ b"
        ENV Q a\ b "c" 'd' \e
        """,
    ),
    Case(
        "env-expansion",
        r"""
        FROM busybox
        ENV A=one EMPTY=
        ENV B=$A C=${A} D=${A}s E=$A-$A F="$A" G='$A' H=\$A I="\$A" J=$$A K=$ \
            L=${NONE:-default} M=${A:-default} N=${A:+set} O=${NONE:+set} P=${EMPTY:-empty} Q=${EMPTY:+x} \
            R=${NONE:-$A} S=${NONE:-${A:+deep}} T="${NONE:-two words}" U=$1 V=$A_B W=${A}_B X=$A.b \
            A=changed Y=$A PATH=/opt:$PATH
        ENV Z=$A EMPTY=full
        """,
    ),
    Case("escape-directive", "# escape=`\nFROM busybox\nENV A=C:\\dir B=two` words C=`$A `\n  D=last\nCMD dir c:\\"),
    Case("crlf-lines", "FROM busybox\r\nENV A=1 \\\r\n  B=2\r\nCMD echo one\r\n"),
    Case("byte-order-mark-and-case", "\N{ZERO WIDTH NO-BREAK SPACE}from busybox\nEnv A=1\ncMd echo $A"),
    Case(
        "arguments",
        r"""
        ARG IMAGE=nothing TAG=latest
        FROM ${IMAGE}:$TAG
        ARG TAG
        ARG DEFAULTED=one GIVEN=one VALUELESS
        ARG DERIVED=$DEFAULTED-$GIVEN
        ARG BOTH=arg OF_CLIENT UNSET_AT_CLIENT=default
        ENV BOTH=env
        ENV A=$TAG B=$DEFAULTED C=$GIVEN D=$VALUELESS E=$DERIVED F=$BOTH G=$OF_CLIENT H=$IMAGE I=$UNSET_AT_CLIENT
        """,
        flags=(
            *("--build-arg=IMAGE=busybox", "--build-arg=GIVEN=two", "--build-arg=BOTH=given"),
            *("--build-arg=OF_CLIENT", "--build-arg=UNSET_AT_CLIENT"),
        ),
    ),
    Case(
        "argument-after-env",
        "FROM busybox\nENV A=env\nARG A=arg\nENV B=$A",
        differs={"Env B: env | arg": "in BuildKit the later one hides the earlier; in the classic builder ENV wins"},
    ),
    Case(
        "arguments-in-run",
        r"""
        FROM busybox
        ARG A=default B C=
        ENV D=$A
        RUN echo "$A $B $C $D ${A:-x} ${E:-unset}" > /seen; env | grep -E '^(A|B|C|D|E|http_proxy)=' | sort >> /seen
        """,
        flags=("--build-arg=B=two words", "--build-arg=http_proxy=http://127.0.0.1:1"),
    ),
    Case(
        "argument-scope",
        r"""
        ARG GLOBAL=global
        FROM busybox AS first
        ARG GLOBAL OWN=own
        ENV A=$GLOBAL B=$OWN
        FROM busybox
        ENV A=$GLOBAL B=$OWN
        ARG GLOBAL=new
        ENV C=$GLOBAL
        """,
    ),
]

_MERGED = "the classic builder merges what one leaves out with the one before it; BuildKit replaces it"
_METADATA = [
    Case(
        "label-forms",
        r"""
        FROM busybox
        ENV V=value
        LABEL a=b "c d"="e f" g='h $V' i="j $V" k=l\ m com.example.name=1 \
            multi="first \
        second" n=o empty= quoted="say \"x\""
        LABEL legacy  some   text
        LABEL a=changed
        """,
        flags=("--label", "n=flag", "--label", "p=d e"),
        differs={"history: L------ | L----": "BuildKit's history has nothing about --label"},
    ),
    Case(
        "ports-volumes-user-and-signal",
        r"""
        FROM busybox
        MAINTAINER Some One <one@example.org>
        ENV P=8080 V=/from/env U=1234 S=SIGUSR1
        EXPOSE 80 443/tcp 53/UDP 8000-8003 $P ${P}/sctp 80/tcp 9000:9001
        VOLUME /a /b $V ${V}/x /a
        VOLUME ["/c d", "/e"]
        USER $U:${U}
        STOPSIGNAL $S
        """,
    ),
    Case(
        "healthcheck-replaced",
        "FROM busybox\nHEALTHCHECK --interval=1m30s --retries=4 CMD one\nHEALTHCHECK --timeout=2s CMD two",
        differs={
            "Healthcheck Interval: 90000000000 | None": _MERGED,
            "Healthcheck Retries: 4 | None": _MERGED,
        },
    ),
    Case("healthcheck-none", "FROM base\nHEALTHCHECK NONE", base="FROM busybox\nHEALTHCHECK CMD true"),
    Case(
        "onbuild-kept",
        'FROM busybox\nONBUILD RUN echo $A\nonbuild CMD ["a", "b"]',
        differs={"history: L-- | L": NO_ENTRY},
    ),
]

_COMMANDS = [
    Case(
        "commands-in-shell-form",
        "FROM busybox\nENTRYPOINT exec top -b $A\nCMD echo $A 'two  blanks' \\\n  next\n"
        "HEALTHCHECK --interval=1m30s --timeout=2s --retries=4 CMD test -e /x",
    ),
    Case(
        "commands-in-exec-form",
        'FROM busybox\nENTRYPOINT [ "echo", "$A", "tab\\there", "\\u00e4", "" ]\nCMD ["a"]\nCMD ["b", "c"]\n'
        'HEALTHCHECK --start-period=1500ms CMD ["test", "-e", "/x"]',
    ),
    Case(
        "commands-that-are-no-json",
        'FROM busybox\nENTRYPOINT [\'echo\', "x"]\nCMD ["a", b]\nHEALTHCHECK CMD [test]',
    ),
    Case("commands-empty", "FROM base\nENTRYPOINT []\nCMD [ ]", base='FROM busybox\nENTRYPOINT ["a"]\nCMD ["b"]'),
    Case("entrypoint-drops-inherited-cmd", 'FROM base\nENTRYPOINT ["new"]', base='FROM busybox\nCMD ["old"]'),
    Case("entrypoint-keeps-own-cmd", 'FROM base\nCMD ["own"]\nENTRYPOINT ["new"]', base='FROM busybox\nCMD ["old"]'),
    Case("cmd-keeps-inherited-entrypoint", 'FROM base\nCMD ["new"]', base='FROM busybox\nENTRYPOINT ["e"]\nCMD ["c"]'),
    Case(
        "shell",
        r"""
        FROM busybox
        SHELL ["/bin/sh", "-ec"]
        RUN echo "$-" > /options
        CMD echo with-e
        SHELL ["/bin/busybox", "sh", "-c"]
        ENTRYPOINT echo other
        HEALTHCHECK CMD true
        """,
    ),
    Case(
        "all-inherited",
        "FROM base\nENV B=2\nLABEL x=2\nEXPOSE 81\nVOLUME /w\nWORKDIR b\nCMD last",
        base=r"""
        FROM busybox
        ENV A=1
        LABEL l=1 x=1
        EXPOSE 80
        VOLUME /v
        USER 5:6
        WORKDIR /a
        STOPSIGNAL SIGINT
        HEALTHCHECK CMD true
        SHELL ["/bin/ash", "-c"]
        ENTRYPOINT ["e"]
        """,
        differs={"/a/ owner: 0:0 | 5:6": WORKDIR_OWNER, "/a/b/ owner: 0:0 | 5:6": WORKDIR_OWNER},
    ),
]

CASES = [*_VARIABLES, *_METADATA, *_COMMANDS]

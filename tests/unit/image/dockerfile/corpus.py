"""Dockerfiles whose reading is compared with BuildKit's: one for each thing that can be read in two ways."""

_STAGES = r"""
FROM alpine
---
from alpine as Build
run true
---
FROM --platform=$BUILDPLATFORM golang:1.22 AS build
FROM scratch
COPY --from=build /a /b
---
ARG VERSION=1
ARG A B=2 C="3 4" D='5'
FROM alpine:${VERSION}
ARG VERSION
---
FROM	alpine	AS	x
FROM  x
---
# only a comment
FROM alpine # not a comment
---
FROM alpine
FROM alpine AS two words
"""

_LINES = r"""
FROM a
RUN one \
    two \
  three
RUN next
---
FROM a
RUN one \
# a comment
    # another
  two
---
FROM a
RUN one \

  two
---
FROM a
FROM a
RUN one \\
RUN two
---
FROM a
RUN "one \
 two" 'three \
four'
---
FROM a
RUN one \
---
FROM a
\
RUN x
---
   FROM a
	RUN x
---
FROM a


# comment


RUN x
# end
---
FROM a
RUN echo # no comment
#RUN nothing
---
FROM a
ENV a=b \
    # comment
    c=d \
    e="f g"
"""

_DIRECTIVES = r"""
# escape=`
FROM a
RUN one `
  two \
RUN three
---
# syntax=docker/dockerfile:1
# escape=`
FROM a
COPY a `
 b
---
#escape=`
# syntax = x
# check=skip=all
FROM a
RUN b `
c
---
# comment
# escape=`
FROM a
RUN b `
RUN c
---
# ESCAPE=`
FROM a
ENV a=b` c
---
# escape=x
FROM a
---
# escape=`
# escape=`
FROM a
---
# unknown=1
# escape=`
FROM a
RUN b `
RUN c
---

# escape=`
FROM a
RUN b `
RUN c
---
FROM a
# escape=`
RUN b `
RUN c
---
# escape=`
FROM a
LABEL a="b`"c" d=`$e
SHELL ["cmd", "/S"]
"""

_FORMS = r"""
FROM a
CMD ["a", "b c", "d\"e", "\u00e9\n"]
CMD [ "a" , "b" ]
CMD ["a"
CMD ['a']
CMD []
CMD a "b" 'c' $d
CMD
ENTRYPOINT ["x"]
ENTRYPOINT exec top -b
---
FROM a
CMD ["a", 1]
---
FROM a
RUN [["a"]]
---
FROM a
RUN [ -f x ] && y
RUN ["a" "b"]
RUN ["a", "b"]
RUN    [   "a"   ]
---
FROM a
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN a | b
---
FROM a
VOLUME /a /b
VOLUME ["/c d", "/e"]
VOLUME /f
---
FROM a
COPY ["a b", "c", "/d e/"]
ADD ["x", "y"]
COPY a   b	c
ADD "a b" c
---
FROM a
HEALTHCHECK NONE
HEALTHCHECK CMD a b
HEALTHCHECK --interval=1s --timeout=2s --retries=3 CMD ["a", "b"]
healthcheck CMD x
---
FROM a
EXPOSE 80 443/tcp 8000-8010/udp
USER a:b
WORKDIR /a b
STOPSIGNAL SIGKILL
MAINTAINER A B <a@b>
USER 'x y'
WORKDIR "C:\"
---
FROM a
NOPE x
"""

_PAIRS = r"""
FROM a
ENV a=b
ENV a=b c=d
ENV a="b c" d='e f' g=h\ i
ENV a b c
ENV a   b  c
ENV a=
ENV a="" b=''
ENV a=b=c
ENV "a b"=c
ENV a=\"b\" c=\\
---
FROM a
ENV a
---
FROM a
ENV a=b c
---
FROM a
LABEL "com.example"="x" multi="a \
b" y=z
LABEL a b
LABEL a.b.c=d e-f=g
---
FROM a
ARG a
ARG a=b
ARG a=b c d=e
ARG a="b c" d
---
FROM a
ENV a=$b c=${d:-e} f=\$g h='$i' j="$k"
---
FROM a
ENV a=b\
c d=e
"""

_FLAGS = r"""
FROM a
RUN --mount=type=cache,target=/x --mount=type=bind,source=a,target=b --network=none x --y
RUN --network=host -- x
RUN -x --y
RUN --mount='type=secret,id=a b' x
RUN --mount=type=cache,target=/a\ b x
---
FROM a
COPY --chown=1:2 --chmod=755 --link a b
COPY --from=x --parents --exclude=*.md --exclude=a/** a/ b/
ADD --checksum=sha256:0 --keep-git-dir=true --unpack=false a b
COPY --link=true "--chown=a b" c d
---
FROM a
COPY -- --a b
CMD -- --a
ENTRYPOINT --a b
---
FROM a
ONBUILD RUN x
ONBUILD COPY --chown=1 a b
onbuild add ["a", "b"]
ONBUILD ENV a=b c="d e"
---
FROM a
ONBUILD RUN one \
 two
ONBUILD CMD ["x"]
"""

_HEREDOCS = r"""
FROM a
RUN <<EOF
one
  two
EOF
RUN <<-EOF
	one
		two
	EOF
RUN <<"EOF"
$x
EOF
RUN <<'EOF' cat
$x
EOF
---
FROM a
COPY <<A <<B /x/
a
A
b
B
COPY <<A b <<'C' /x/
B
A
C
ADD <<x.txt /
# no comment

\
x.txt
---
FROM a
RUN 3<<X cat <&3
x
X
RUN cat <<A <<B
a
A
b
B
RUN <<EOF && true
false \
EOF
---
FROM a
RUN <<EOF
never ends
---
FROM a
RUN "<<EOF"
RUN '<<EOF'
RUN \<<EOF
EOF
RUN a<<EOF
RUN <<<word
---
FROM a
USER <<EOF
CMD <<EOF
ENV a=<<EOF
---
FROM a
COPY a <<EOF
EOF
---
FROM a
RUN ["<<EOF"]
RUN <<EO'F'
x
EOF
RUN <<E\'F
x
E'F
RUN <<$E
x
$E
---
FROM a
ONBUILD RUN <<EOF
x
EOF
ONBUILD COPY <<EOF /x
y
EOF
RUN x
---
FROM a
RUN <<EOF \
  && more
x
EOF
RUN last
---
FROM a
RUN echo "it's" <<EOF
x
EOF
---
FROM a
RUN echo it's <<EOF
RUN x
"""

_NO_TEMPLATE = [
    "",
    "\n",
    "# comment",
    "FROM a",
    "FROM a\r\nRUN b \\\r\n  c\r\n",
    "FROM a\r\nRUN <<E\r\nx\r\nE\r\n",
    "\ufeffFROM a\nRUN b",
    "\ufeff# escape=`\nFROM a\nRUN b `\nc",
    "RUN x",
    "FROM a\nRUN \u00e9 \u4f60\u597d\nENV \u00e9=\u00e8 b='\u2028'\n",
    "FROM a\nRUN a\x0bb\x0cc\x1fd\nUSER\x1fx\nUSER \x1fy\n",
    "FROM a\nRUN <<E\nx\nE",
    "FROM a\nRUN one \\ \t\n  two\nRUN three",
    'FROM a\nRUN ["a", "b"] \t\n',
    "FROM a\nRUN " + "x" * 65000 + "\n",
    "FROM a\nRUN " + "x" * 65536 + "\n",
    "FROM a\n" + "RUN \\\n" + "  a \\\n" * 500 + "  b\nRUN c",
]

DOCKERFILES = [
    text.removeprefix("\n")
    for group in (_STAGES, _LINES, _DIRECTIVES, _FORMS, _PAIRS, _FLAGS, _HEREDOCS)
    for text in group.split("---\n")
] + _NO_TEMPLATE

"""Templates: tables of cases, and hostile ones, which end in one line and never in a traceback or a hang.

All but a few expectations, which say so, were compared with `docker inspect --format` of Docker 28.2.
"""

import json
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.cli.template import Structs, Template, TemplateError
from minirun.cli.template.functions import FUNCTIONS
from minirun.cli.template.values import Duration
from minirun.errors import MinirunError

VALUE = {
    "Id": "abc",
    "Name": "/web",
    "Pid": 5,
    "Load": 1.5,
    "Running": True,
    "Nil": None,
    "List": ["a", "b", "c"],
    "Empty": [],
    "EmptyMap": {},
    "Html": "<a href='x'>&\"",
    "Map": {"a.b": "dotted", "k": "v"},
    "Mixed": {"z": [1, None], "a": {"x": "y"}},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": None},
    "State": {"Status": "running", "Pid": 5},
    "NetworkSettings": {"Networks": {"front": {"IPAddress": "10.0.0.2"}, "back": {"IPAddress": "10.0.1.2"}}},
    "Label": lambda name: {"a": "1"}.get(name, ""),
    "Names": lambda: "web",
}
RENDERED = [
    # text, trimming, comments
    ("", ""),
    ("text only", "text only"),
    ("a}}b { {x} }", "a}}b { {x} }"),
    ('{{"{{"}}{{"}}"}}', "{{}}"),
    ("a {{/* comment }} */}} b", "a  b"),
    ("a {{- /* comment */ -}} b", "ab"),
    ("a \n{{- 3 -}}\t b", "a3b"),
    ("a {{-3}} {{- 3}}", "a -33"),
    ("{{1 -}}  x {{- 2}}", "1x2"),
    ("{{\n.Id\n}}", "abc"),
    # fields and variables
    ("{{.Id}}{{.Name}}", "abc/web"),
    ("{{.State.Status}}", "running"),
    ("{{$.State.Pid}}", "5"),
    ("{{.Missing}}", "<no value>"),
    ("{{.State.Missing}}", "<no value>"),
    ("{{.Missing.X}}", "<no value>"),
    ("{{.__class__.__mro__}}", "<no value>"),
    ("{{.Nil}}", "<nil>"),  # docker: <nil> of a struct's pointer
    ("{{(index .List 1)}}{{(.State).Pid}}", "b5"),
    ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
    ("{{range $k, $v := .NetworkSettings.Networks}}{{$v.IPAddress}} {{end}}", "10.0.1.2 10.0.0.2 "),
    ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "10.0.1.2 10.0.0.2 "),
    ("{{range $p, $c := .Ports}}{{$p}} -> {{(index $c 0).HostPort}}{{break}}{{end}}", "80/tcp -> 8080"),
    ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{$x = 3}}{{$x}}{{end}}{{$x}}", "231"),
    ("{{$x:=1}}{{if true}}{{$x = 5}}{{end}}{{$x}}", "5"),
    ("{{($x := 1)}}{{$x}}", "11"),
    # methods
    ('{{.Label "a"}}|{{.Label "b"}}', "1|"),
    ('{{"a" | .Label}}{{.Names}}{{upper .Names}}{{len (.Names)}}', "1webWEB3"),
    # literals
    ("{{true}}{{false}}{{1 |}}", "truefalse1"),
    ("{{10}} {{010}} {{0x1F}} {{0b101}} {{0o17}} {{1_000}} {{+3}}", "10 8 31 5 15 1000 3"),
    ("{{1.0}} {{.5}} {{-.5}} {{1e3}} {{-0.0}}", "1 0.5 -0.5 1000 -0"),
    ("{{1000000.0}} {{100000.0}} {{1234567.5}} {{1e21}}", "1e+06 100000 1.2345675e+06 1e+21"),
    ("{{0.0001}} {{0.000012345}} {{1e-7}}", "0.0001 1.2345e-05 1e-07"),
    ("{{'a'}} {{'\\n'}} {{'\\''}}", "97 10 39"),
    ('{{"\\101\\x41\\u0041\\U00000041\\t\\"é"}}', 'AAAA\t"é'),
    ('{{`raw \\n "q"`}}', 'raw \\n "q"'),
    # printing of values
    ("{{.List}} {{.Empty}} {{.EmptyMap}}", "[a b c] [] map[]"),
    ("{{.Mixed}}", "map[a:map[x:y] z:[1 <nil>]]"),
    ("{{.Load}} {{.Running}}", "1.5 true"),
    # control
    ("{{if .Empty}}1{{else if .List}}2{{else}}3{{end}}", "2"),
    ("{{if .Empty}}1{{else if .Nil}}2{{else}}3{{end}}", "3"),
    ("{{if 0}}a{{end}}{{if 0.0}}b{{end}}{{if ``}}c{{end}}{{if .EmptyMap}}d{{end}}{{if .Missing}}e{{end}}|", "|"),
    ("{{if $x := 0}}{{else if $y := 2}}{{$x}}{{$y}}{{end}}", "02"),
    ("{{with .State}}{{.Pid}}{{$.Id}}{{end}}", "5abc"),
    ("{{with .Empty}}a{{else}}{{.Id}}{{end}}", "abc"),
    ("{{with .Empty}}a{{else with .List}}{{.}}{{else}}c{{end}}", "[a b c]"),
    ("{{with $x := .State}}{{$x.Pid}}{{.Pid}}{{end}}", "55"),
    ("{{range .List}}{{.}},{{end}}", "a,b,c,"),
    ("{{range $i, $e := .List}}{{$i}}={{$e}} {{end}}", "0=a 1=b 2=c "),
    ("{{range $e := .List}}{{$e}}{{end}}", "abc"),
    ("{{range .Empty}}a{{else}}none{{end}}{{range .Nil}}a{{else}}none{{end}}", "nonenone"),
    ("{{range 3}}{{.}}{{end}}{{range $i := 2}}{{$i}}{{end}}{{range 0}}{{else}}zero{{end}}", "01201zero"),
    ("{{range $i, $x := .List}}{{if eq $i 1}}{{break}}{{end}}{{$x}}{{end}}", "a"),
    ("{{range $i, $x := .List}}{{if eq $i 1}}{{continue}}{{end}}{{$x}}{{end}}", "ac"),
    ("{{$a := 0}}{{$b := 0}}{{range $a, $b = .List}}{{end}}{{$a}}{{$b}}", "2c"),
    ('{{define "x"}}[{{.}}{{$}}]{{end}}{{template "x" 1}}{{template "x"}}', "[11][<no value><no value>]"),
    ('{{block "y" .Id}}({{.}}){{end}}{{template "y" 2}}', "(abc)(2)"),
    ('{{define "x"}}a{{end}}{{define "x"}} {{end}}{{template "x"}}', "a"),
    # pipelines and functions
    ('{{"x" | upper | printf "%s-%s" "a"}}', "a-X"),
    ("{{.List|len}} {{.List | len | printf `%d-%d` 1}}", "3 1-3"),
    ("{{and 1 0 2}} {{and 1 2}} {{or 0 `` 3}} {{not 1}} {{not .Empty}}", "0 2 3 false true"),
    ("{{or 1 (index .List 99)}}{{and 0 (index .List 99)}}", "10"),
    ("{{len .List}}{{len .Mixed}}{{len `é`}}", "322"),
    ('{{index .Map "a.b"}}|{{index .Map "none"}}|{{index .Mixed "z" 0}}', "dotted||1"),
    ("{{index `abc` 1}} {{index .List}}", "98 [a b c]"),
    ("{{slice `abcdef` 1 3}} {{slice .List 1}} {{slice .List 0 1 2}} {{slice `abc`}}", "bc [b c] [a] abc"),
    ("{{print 1 2 `a` `b` 3 4}}|{{println 1 `a`}}|{{print}}|{{print nil}}", "1 2ab3 4|1 a\n||<nil>"),
    ("{{html .Missing}}{{html nil 1}}", "&lt;no value&gt;&lt;no value&gt; 1"),
    ("{{html .Html}}", "&lt;a href=&#39;x&#39;&gt;&amp;&#34;"),
    ("{{js `a'b\"<>&=\\é`}}", "a\\'b\\\"\\u003C\\u003E\\u0026\\u003D\\\\é"),
    ("{{urlquery `a b&c/é~`}}", "a+b%26c%2F%C3%A9~"),
    (
        "{{eq 1 1}} {{eq 1 2 3 1}} {{eq `a` `b`}} {{ne 1 2}} {{eq .Nil nil}} {{eq .Id nil}}",
        "true true false true true false",
    ),
    ("{{lt 1 2}} {{le 2 2}} {{gt `b` `a`}} {{ge 1.5 2.5}}", "true true true false"),
    (
        "{{json .List}} {{json .Mixed}} {{json .Html}}",
        '["a","b","c"] {"z":[1,null],"a":{"x":"y"}} "<a href=\'x\'>&\\""',
    ),
    ("{{json 1.0}} {{json 1e21}} {{json 1e-7}} {{json 0.000001}} {{json nil}}", "1 1e+21 1e-7 0.000001 null"),
    ('{{json "a\\tb\\b\\x00\\u2028é"}}', '"a\\tb\\b\\u0000\\u2028é"'),
    ('{{join .List ", "}}{{join .Empty ","}}', "a, b, c"),
    ("{{split `a,b` `,`}}{{split `ab` ``}}{{join (split `a b` ` `) `-`}}", "[a b][a b]a-b"),
    ("{{title `hello wORLD it's a_b`}} {{lower `ÀB`}} {{upper `straße`}}", "Hello WORLD It'S A_b àb STRAßE"),
    ("{{pad `x` 1 2}}|{{pad `` 1 2}}|{{truncate `hello` 2}}{{truncate `a` 5}}", " x  ||hea"),
    # printf
    ('{{printf "%s %v %d %q %t %%" "a" 1.5 5 "é\\n" true}}', 'a 1.5 5 "é\\n" true %'),
    ('{{printf "%x %X %x %f %.2f" "hi" 255 -255 1.5 3.14159}}', "6869 FF -ff 1.500000 3.14"),
    ('{{printf "%5d|%-10s|%06d|%+d|% d|%08.2f" 5 "a" -5 5 5 -3.5}}', "    5|a         |-00005|+5| 5|-0003.50"),
    ('{{printf "%v %d %q" .List .List .List}}', '[a b c] [%!d(string=a) %!d(string=b) %!d(string=c)] ["a" "b" "c"]'),
    ('{{printf "%T %T %T %T %T" 1 1.5 "a" nil .List}}', "int float64 string <nil> []interface {}"),
    ('{{printf "%s|%+v|%v" nil 1.5 .Missing}}', "%!s(<nil>)|1.5|<nil>"),
    ('{{printf "%d %s" "x" 5}}', "%!d(string=x) %!s(int=5)"),
    (
        '{{printf "%d" 1 2}}{{printf "%s"}}{{printf "%z" 1}}{{printf "%"}}',
        "1%!(EXTRA int=2)%!s(MISSING)%!z(int=1)%!(NOVERB)",
    ),
    ('{{printf "%[2]d %[1]d|%[9]d|%[x]d|%[1]*[2]d|%d" 1 2}}', "2 1|%!d(BADINDEX)|%!d(BADINDEX)|2|%!d(MISSING)"),
    ('{{printf "%c %U %o %b %#x %O" 65 65 8 5 255 8}}', "A U+0041 10 101 0xff 0o10"),
    ('{{printf "%e %g %.3g %G" 1.5 1.5 1234.5 1e20}}', "1.500000e+00 1.5 1.23e+03 1E+20"),
    ('{{printf "%.2s|%6v|%-6v|%5t" "héllo" "a" true true}}', "hé|     a|true  | true"),
]
PARSE_ERRORS = [
    ("{{", ":1: unclosed action"),
    ("a\n\n{{.Id", ":3: unclosed action"),
    ("{{.Id\n\n", ":3: unclosed action started at :1"),
    ('{{\n"abc\n"}}', ":2: unterminated quoted string in action started at :1"),
    ("{{`abc}}", ":1: unterminated raw quoted string"),
    ("{{'a}}", ":1: unterminated character constant"),
    ("{{'ab'}}", ":1: malformed character constant: 'ab'"),
    ('{{"a\\qb"}}', ":1: invalid syntax"),
    ("{{/* c }}", ":1: unclosed comment"),
    ("{{/* c */ }}", ":1: comment ends before closing delimiter"),
    ("{{ /* c */ }}", ':1: unexpected "/" in command'),
    ("{{é", ':1: function "é" not defined'),
    ("{{a=1}}", ":1: bad character U+003D '='"),
    ("{{(1}}", ":1: unclosed left paren"),
    ("{{1)}}", ":1: unexpected right paren"),
    ("{{()}}", ":1: missing value for parenthesized pipeline"),
    ("{{1a}}", ':1: bad number syntax: "1a"'),
    ("{{08}}", ':1: integer overflow: "08"'),
    ("{{" + "9" * 9999 + "}}", ":1: integer overflow"),
    ("{{1e1000}}", ':1: illegal number syntax: "1e1000"'),
    ("{{}}", ":1: missing value for command"),
    ("{{if}}{{end}}", ":1: missing value for if"),
    ("{{1 | 2}}", ":1: non executable command in pipeline stage 2"),
    ("{{| 1}}", ':1: unexpected "|" in command'),
    ("{{foo}}", ':1: function "foo" not defined'),
    ("{{__import__ `os`}}", ':1: function "__import__" not defined'),
    ("{{$x}}", ':1: undefined variable "$x"'),
    ("{{if $x := 1}}{{end}}{{$x}}", ':1: undefined variable "$x"'),
    ('{{$x := 1}}{{define "a"}}{{$x}}{{end}}', ':1: undefined variable "$x"'),
    ("{{$x, $y := 1}}", ":1: too many declarations in command"),
    ("{{range $x, 1 := .List}}{{end}}", ":1: range can only initialize variables"),
    ("{{end}}", ":1: unexpected {{end}}"),
    ("{{else}}", ":1: unexpected {{else}}"),
    ("x\n{{if true}}\ny", ":3: unexpected EOF"),
    ("{{if true}}{{else}}{{else}}{{end}}", ":1: expected end; found {{else}}"),
    ("{{if true}}{{else with true}}{{end}}", ":1: unexpected <with> in input"),
    ("{{if true}}{{end x}}", ':1: unexpected "x" in end'),
    ("{{break}}", ":1: {{break}} outside {{range}}"),
    ("{{range .List}}{{else}}{{continue}}{{end}}", ":1: {{continue}} outside {{range}}"),
    ("{{if true}}{{define `x`}}{{end}}{{end}}", ":1: unexpected <define> in command"),
    ("{{define `x`}}a{{end}}{{define `x`}}b{{end}}", ':1: template: multiple definition of template "x"'),
    ("{{template x}}", ':1: unexpected "x" in template clause'),
    ("{{.Id.}}", ":1: unexpected <.> in operand"),
    ('{{"a".x}}', ':1: unexpected . after term "\\"a\\""'),
    ("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", ":1: nested too deeply"),
    ("{{if 1}}" * 5000, ":1: nested too deeply"),
]
RENDER_ERRORS = [
    ("{{.Nil.X}}", ':1:6: executing "" at <.Nil.X>: nil pointer evaluating interface {}.X'),
    ("\né{{.Id.X}}", ':2:7: executing "" at <.Id.X>: can\'t evaluate field X in type string'),
    ("{{.List.append}}", "can't evaluate field append in type []interface {}"),
    ("{{.Id 1}}", ':1:2: executing "" at <.Id>: Id is not a method but has arguments'),
    ("{{.Label}}", ':1:2: executing "" at <.Label>: error calling Label: '),
    ("{{1 2}}", ':1:2: executing "" at <1>: can\'t give argument to non-function 1'),
    ("{{nil}}", ':1:2: executing "" at <nil>: nil is not a command'),
    ("{{$x = 1}}", "undefined variable: $x"),
    ("{{index .List `a`}}", "error calling index: cannot index slice/array with type string"),
    ("{{index .List 3}}", ':1:2: executing "" at <index .List 3>: error calling index: index out of range: 3'),
    ("{{index .List -1}}", "error calling index: index out of range: -1"),
    ("{{index .Nil 1}}", "error calling index: index of untyped nil"),
    ("{{index .Map 1}}", "error calling index: value has type int; should be string"),
    ("{{slice `abc` 2 1}}", "error calling slice: invalid slice index: 2 > 1"),
    ("{{len 3}}", "error calling len: len of type int"),
    ("{{eq 1 `1`}}", "error calling eq: incompatible types for comparison"),
    ("{{eq 1}}", "missing argument for comparison"),
    ("{{lt true false}}", "error calling lt: invalid type for comparison"),
    ("{{upper}}", ':1:2: executing "" at <upper>: wrong number of args for upper: want 1 got 0'),
    ("{{and}}", "wrong number of args for and: want at least 1 got 0"),
    ("{{upper 1}}", ':1:8: executing "" at <1>: expected string; found 1'),
    ("{{upper .List}}", "wrong type for value; expected string; got []interface {}"),
    ("{{join .Mixed `,`}}", "wrong type for value; expected []string; got map[string]interface {}"),
    ("{{join .Id `,`}}", "wrong type for value; expected []string; got string"),
    ("{{truncate `abc` -1}}", "error calling truncate: runtime error: slice bounds out of range [:-1]"),
    ("{{pad `a` -1 2}}", "error calling pad: strings: negative Repeat count"),
    ("{{pad `a` 9223372036854775807 2}}", "error calling pad: "),
    ("{{call 1}}", "error calling call: non-function of type int"),
    ("{{range `abc`}}{{end}}", ':1:8: executing "" at <`abc`>: range can\'t iterate over abc'),
    ("{{range $i, $e := 3}}{{end}}", "can't use 3 to iterate over more than one variable"),
    ("{{template `nope`}}", ':1:11: executing "" at <{{template `nope`}}>: template "nope" not defined'),
    ("{{define `x`}}{{.Id.y}}{{end}}{{template `x` .}}", ':1:19: executing "x" at <.Id.y>: can\'t evaluate field y'),
    ("{{define `x`}}{{template `x`}}{{end}}{{template `x`}}", "exceeded maximum template depth"),
    # what would not end, or would fill the memory
    ("{{range 9223372036854775807}}{{end}}", "more than 1000000 steps"),
    ("{{range 9223372036854775807}}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{{end}}", "more than"),
    (
        "{{define `x`}}{{template `y`}}{{template `y`}}{{end}}{{define `y`}}{{template `x`}}{{end}}{{template `x`}}",
        "depth",
    ),
    ("{{$x := `a`}}{{range 99}}{{$x = print $x $x}}{{end}}", "more than 67108864 characters"),
    ("{{$x := printf `%999999d` 1}}{{range 99}}{{$x}}{{end}}", "more than 67108864 characters"),
    ("{{printf `" + "%999999d" * 99 + "`" + " 1" * 99 + "}}", "longer than 67108864 characters"),
]


@pytest.mark.parametrize(("text", "expected"), RENDERED)
def test_rendered(text: str, expected: str) -> None:
    assert Template(text).render(VALUE) == expected


@pytest.mark.parametrize("value", ["x", 5, 1.5, True, None, [1, "a"], {"b": 1, "a": None}])
def test_the_dot_may_be_anything(value: object) -> None:
    expected = {"x": "x", "5": "5", "True": "true", "None": "<nil>"}
    text = Template("{{.}}").render(value)
    assert text == expected.get(str(value), {list: "[1 a]", dict: "map[a:<nil> b:1]", float: "1.5"}.get(type(value)))


@pytest.mark.parametrize(("text", "expected"), PARSE_ERRORS, ids=lambda text: text[:30])
def test_what_cannot_be_parsed(text: str, expected: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text)
    assert caught.value.message.startswith(f"template parsing error: template: {expected}")
    assert isinstance(caught.value, MinirunError)


@pytest.mark.parametrize(("text", "expected"), RENDER_ERRORS, ids=lambda text: text[:30])
def test_what_cannot_be_rendered(text: str, expected: str) -> None:
    began = time.monotonic()
    with pytest.raises(TemplateError) as caught:
        Template(text).render(VALUE)
    assert expected in caught.value.message
    assert "\n" not in caught.value.message
    assert time.monotonic() - began < 20


STRUCTS = Structs(
    {
        "Whole": """ID=Id string; Args, Binds []string; Labels map[string]string; Inner; Other; Health *Health;
            Size *int; Made, Never time; Interval duration; Raw any; Pair [2]int; State Health""",
        "Inner": "CPUs=Cpus, Memory int; Ports map[string][]Port",
        "Other": "More string",
        "Health": "Status string; Streak int",
        "Port": "HostIP=HostIp, HostPort string",
    }
)
WHOLE = {
    "Id": "abc",
    "Binds": None,
    "Args": ["a", "b"],
    "Cpus": 2,
    "Ports": {"80/tcp": [{"HostIp": "::", "HostPort": "1"}], "81/tcp": None},
    "Made": "2026-11-28T17:23:27.646320000Z",
    "Interval": 90_000_000_000,
    "Own": {"k": "v"},
}
STRUCT_FIELDS = [
    (
        "{{.ID}}{{.Id}} {{.CPUs}}{{.Cpus}}{{.Memory}} {{.Inner.CPUs}} {{.Own.k}} {{.Own.none}}",
        "abcabc 220 2 v <no value>",
    ),
    ("{{.Binds}}{{json .Binds}}{{len .Binds}}{{range .Binds}}x{{else}}-{{end}}{{join .Binds `,`}}", "[]null0-"),
    (
        "{{.Labels}}{{json .Labels}}{{.Labels.none}}{{index .Labels `none`}}{{if .Labels}}x{{end}}",
        "map[]null<no value>",
    ),
    ("{{.Health}}{{json .Health}}{{if .Health}}x{{end}}{{with .Health}}x{{end}}{{.Size}}", "<nil>null<nil>"),
    ("{{if .State}}{{.State}}{{.State.Status}}{{.State.Streak}}{{end}}", "{ 0}0"),
    (
        "{{.Ports}} {{json .Ports}}",
        'map[80/tcp:[{:: 1}] 81/tcp:[]] {"80/tcp":[{"HostIp":"::","HostPort":"1"}],"81/tcp":null}',
    ),
    ("{{(index .Ports `80/tcp` 0).HostIP}}{{(index .Ports `80/tcp` 0).HostIp}}", "::::"),
    ("{{.Made}}|{{json .Made}}", '2026-11-28 17:23:27.64632 +0000 UTC|"2026-11-28T17:23:27.646320000Z"'),
    (
        "{{.Never}} {{.Interval}} {{json .Interval}} {{.Raw}} {{.Pair}}",
        "0001-01-01 00:00:00 +0000 UTC 1m30s 90000000000 <nil> [0 0]",
    ),
    ("{{printf `%v %+v` .State .State}} {{printf `%T` .State}}", "{ 0} {Status: Streak:0} struct"),
    ("{{printf `%s %v %q %d` .Interval .Interval .Interval .Interval}}", '1m30s 1m30s "1m30s" 90000000000'),
    ("{{printf `%s` .Never}}{{printf `%+v` .Pair}}", "0001-01-01 00:00:00 +0000 UTC[0 0]"),
    ("{{json .}}", json.dumps(WHOLE, separators=(",", ":"))),
]


@pytest.mark.parametrize(("text", "expected"), STRUCT_FIELDS)
def test_a_struct_has_what_its_json_omits(text: str, expected: str) -> None:
    assert Template(text).render(STRUCTS.build("Whole", WHOLE)) == expected


@pytest.mark.parametrize("text", ["{{.Foo}}", "{{$.Foo}}", "{{range .Args}}{{$.Foo}}{{end}}", "{{.State.Foo}}"])
def test_what_a_struct_lacks_is_an_error(text: str) -> None:
    with pytest.raises(TemplateError, match="can't evaluate field Foo in type struct"):
        Template(text).render(STRUCTS.build("Whole", WHOLE))
    with pytest.raises(TemplateError, match=r'map has no entry for key "(Foo|State)"'):
        Template(text).render(WHOLE, missing_key_is_error=True)


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (50_000_000, "50ms"),
        (1_500_000_000, "1.5s"),
        (60_000_000_000, "1m0s"),
        (3_600_000_000_000, "1h0m0s"),
        (-90_000_000_000, "-1m30s"),
    ],
)
def test_durations(nanoseconds: int, words: str) -> None:
    assert Template("{{.}}").render(Duration(nanoseconds)) == words


def test_methods_are_not_printed() -> None:
    value = {"a": 1, "F": lambda: 2}
    assert (
        Template("{{.}} {{json .}} {{range $k, $v := .}}{{$k}}{{end}} {{.F}}").render(value) == 'map[a:1] {"a":1} a 2'
    )


def test_a_value_that_is_too_deep_is_an_error() -> None:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    for text in ("{{.}}", "{{json .}}", "{{printf `%d` .}}", "{{html .}}"):
        with pytest.raises(TemplateError, match="nested too deeply"):
            Template(text).render(value)


def test_a_template_is_rendered_twice_alike() -> None:
    template = Template("{{$x := .}}{{range .}}{{$x = .}}{{end}}{{$x}}")
    assert [template.render([1, 2]), template.render([1, 2]), template.render([3])] == ["2", "2", "3"]


def test_the_package_imports_little() -> None:
    script = "import sys; import json, re; before = set(sys.modules); import minirun.cli.template; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert not {"dataclasses", "inspect", "html", "urllib.parse", "typing_extensions"} & set(done.stdout.split())


WORDS = re.findall(
    r"\S+",
    """
    if else end range with define template block break continue nil true $ $x := = , | ( ) . .A .A.B 'a' 1 1.5 "a" `%d`
    and or not len index slice print printf html js call eq lt json split join title pad truncate x {{end}} {{else}}
    - /* */ {{ }}
    """,
)
WORDS += [" -}}", "{{- ", " ", "\n"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("AB") | st.text(), inner), max_leaves=9
)


def check(text: str, value: object) -> None:
    for missing_key_is_error in (False, True):
        try:
            assert isinstance(Template(text).render(value, missing_key_is_error), str)
        except TemplateError:
            pass


@given(st.text(), VALUES)
@settings(deadline=None)
def test_any_text(text: str, value: object) -> None:
    check(text, value)
    check("{{" + text + "}}", value)


@given(st.lists(st.sampled_from(WORDS)), VALUES)
@settings(deadline=None, max_examples=500)
def test_any_words(words: list[str], value: object) -> None:
    check("".join(words), value)
    check("{{" + " ".join(words) + "}}", value)


CALLS = st.sampled_from(sorted(FUNCTIONS))
ARGUMENTS = st.lists(st.sampled_from([".", ".A", ".B", "0", "1", "-1", "1.5", '"a"', '""', "nil", "true", "(len .A)"]))


@given(CALLS, ARGUMENTS, VALUES)
@settings(deadline=None, max_examples=500)
def test_any_call(name: str, arguments: list[str], value: object) -> None:
    check("{{" + " ".join([name, *arguments]) + "}}", value)


@given(st.text(alphabet="%+-# 0.*[]123456789vdsqxXtfegGTcUboO!z"), st.lists(SCALARS, max_size=3))
@settings(deadline=None, max_examples=500)
def test_any_format(form: str, values: list[object]) -> None:
    check("{{printf .F .A .A .A}}", {"F": form, "A": values})


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_renders_to_itself(text: str) -> None:
    assert Template(text).render(None) == text

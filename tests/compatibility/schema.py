"""Checks the answers of a run against Docker's own description of its API (Swagger 2.0), their shapes against Docker's.

    python -m tests.compatibility.schema SWAGGER RECORDS > FINDINGS

runs in the clients' environment, which has YAML and JSON schema. Docker breaks its description in places; what counts
is what an engine breaks and Docker does not in the same suite, and what Docker's answers always have and the engine's
never.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.compatibility.peers import Peers
from tests.harness.host import REPO

_LIST = "[]"
_ANY_KEY = "*"


def check(peers: Peers, results: Path) -> None:
    """Write findings.json beside the records."""
    swagger = peers.source("moby") / "api/swagger.yaml"
    words = [peers.python, "-m", "tests.compatibility.schema", swagger, results / "records.jsonl"]
    done = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (results / "findings.json").write_text(done.stdout)


def say(suite: str, engine: str, results: Path) -> list[str]:
    """Print what is against the description, and return what Docker does not break in this suite."""
    ours = json.loads((results / f"{suite}-{engine}" / "findings.json").read_text())
    file = results / f"{suite}-docker" / "findings.json"
    ways = len(ours["violations"])
    print(f"{suite} on {engine}: {ours['checked']} answers checked, {ways} ways to break the description")
    if engine == "docker" or not file.exists():
        return []
    theirs = json.loads(file.read_text())
    found = [
        f"{key}  (such as {ours['violations'][key]})" for key in ours["violations"] if key not in theirs["violations"]
    ]
    for route, shape in ours["shapes"].items():
        wanted = theirs["shapes"].get(route)
        if wanted:
            found += [f"{route}: {key} is never there, always with Docker" for key in _missing(wanted, shape)]
    for line in found:
        print(f"  not as Docker: {line}")
    return found


def _missing(wanted: Mapping[str, Any], shape: Mapping[str, Any]) -> Iterator[str]:
    """Keys that Docker's objects always have, of objects that are there in both."""
    for place, keys in wanted.items():
        always = {key for key, count in keys["keys"].items() if count == keys["seen"]}
        if place in shape:
            yield from (f"{place}.{key}" for key in sorted(always - set(shape[place]["keys"])))


class Description:
    """Docker's description: which schema an answer has to follow."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        from jsonschema import Draft4Validator

        self._definitions = {name: _as_json_schema(one) for name, one in document["definitions"].items()}
        self._routes = sorted(self._compiled(document["paths"]), key=lambda route: route[1].count("{"))
        self._validator = cache(lambda text: Draft4Validator({**json.loads(text), "definitions": self._definitions}))

    def _compiled(self, paths: Mapping[str, Any]) -> Iterator[tuple[re.Pattern[str], str, Mapping[str, Any]]]:
        for template, methods in paths.items():
            pattern = re.sub(r"\\\{(\w+)\\\}", lambda part: ".+" if part[1] == "name" else "[^/]+", re.escape(template))
            yield re.compile(pattern), template, methods

    def find(self, method: str, path: str, status: int) -> tuple[str, Mapping[str, Any] | None]:
        """The route's name, and its answer's schema for a status."""
        bare = re.sub(r"^/v\d\.\d+", "", path.partition("?")[0])
        for pattern, template, methods in self._routes:
            if pattern.fullmatch(bare) and method.lower() in methods:
                answers = methods[method.lower()]["responses"]
                answer = answers.get(status) or answers.get(str(status))
                return f"{method} {template} {status}", answer
        return f"{method} {re.sub('(?<=.)/[^/]+', '/{id}', bare, count=1)} {status}", None

    def violations(self, schema: Mapping[str, Any], answer: Any) -> Iterator[tuple[str, str]]:
        """Where an answer is wrong, and how."""
        for error in self._validator(json.dumps(_as_json_schema(schema))).iter_errors(answer):
            for one in [error, *(error.context or ())]:
                place = "".join(_LIST if isinstance(part, int) else f".{part}" for part in one.absolute_path)
                if one.validator not in ("anyOf", "allOf"):
                    yield f"{_generic(place)}: {one.validator}", str(one.message)[:120]

    def resolved(self, schema: Any) -> Mapping[str, Any]:
        """A schema with the definitions that it refers to in it."""
        while isinstance(schema, dict) and ("$ref" in schema or "allOf" in schema or "anyOf" in schema):
            if "$ref" in schema:
                schema = self._definitions[schema["$ref"].rpartition("/")[2]]
            elif "anyOf" in schema:
                schema = schema["anyOf"][0]
            else:
                merged: dict[str, Any] = {}
                for part in schema["allOf"]:
                    merged |= self.resolved(part).get("properties", {})
                schema = {"properties": merged}
        return schema if isinstance(schema, dict) else {}

    def objects(self, schema: Any, answer: Any, place: str = "") -> Iterator[tuple[str, list[str]]]:
        """The objects in an answer: their place and keys. The keys of maps are left out."""
        schema = self.resolved(schema)
        if isinstance(answer, list):
            for one in answer:
                yield from self.objects(schema.get("items"), one, place + _LIST)
        elif isinstance(answer, dict):
            known = schema.get("properties", {})
            if known:
                yield place, list(answer)
            for key, value in answer.items():
                if key in known:
                    yield from self.objects(known[key], value, f"{place}.{key}")
                elif "additionalProperties" in schema:
                    yield from self.objects(schema["additionalProperties"], value, f"{place}.{_ANY_KEY}")


def _generic(place: str) -> str:
    """Without names that a test chose."""
    return re.sub(
        r"(\.(Networks|Volumes|Ports|Containers|Labels|PortBindings|Options|Sysctls|networks))\.[^.\[]+",
        rf"\1.{_ANY_KEY}",
        place,
    )


def _as_json_schema(schema: Any) -> Any:
    """Swagger's own words as JSON schema has them."""
    if isinstance(schema, list):
        return [_as_json_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: _as_json_schema(value)
        for key, value in schema.items()
        if key not in ("example", "format", "discriminator")
    }
    if made.get("type") == "file":
        del made["type"]
    if made.pop("x-nullable", False) is True:
        return {"anyOf": [made, {"type": "null"}]}
    return made


def find(document: Mapping[str, Any], records: Iterator[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the records show: ways in which answers break the description, and the shapes of their objects."""
    description = Description(document)
    violations: dict[str, str] = {}
    shapes: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    checked = 0
    for record in records:
        route, answer = description.find(record["method"], record["path"], record["status"])
        if record["status"] == 101 or "/libpod/" in record["path"]:  # podman's own API
            continue
        if answer is None:
            if record["status"] < 500 and record["status"] not in (301,):
                violations.setdefault(f"{route}: the status is not in the description", record["path"])
            continue
        schema = answer.get("schema")
        if schema is None or record["answer"] is None or record["method"] == "HEAD":
            continue
        checked += 1
        whole = record["answer"]
        values = whole["stream"] if isinstance(whole, dict) and set(whole) == {"stream"} else [whole]
        for value in values:
            for key, example in description.violations(schema, value):
                violations.setdefault(f"{route}{key}", example)
            for place, keys in description.objects(_as_json_schema(schema), value):
                shape = shapes[route].setdefault(place, {"seen": 0, "keys": {}})
                shape["seen"] += 1
                for key in keys:
                    shape["keys"][key] = shape["keys"].get(key, 0) + 1
    return {"checked": checked, "violations": violations, "shapes": shapes}


def main() -> None:
    """Print the findings as JSON."""
    import yaml

    document = yaml.load(Path(sys.argv[1]).read_text(), yaml.CSafeLoader)
    with Path(sys.argv[2]).open() as file:
        json.dump(find(document, map(json.loads, file)), sys.stdout, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()

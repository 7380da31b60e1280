"""logs --details: what --log-opt chooses of a container's labels and environment, and its tag.

https://docs.docker.com/engine/logging/drivers/json-file/#options
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote_plus

from minirun.cli.output.format import template_of
from minirun.model import Container


def text_of_details(container: Container) -> str:
    """A container's details as Docker prints them in front of each line: KEY=VALUE,... sorted and URL-encoded."""
    options = dict(container.spec.logging.options)
    details = {"tag": template_of(options["tag"]).render(_tag_fields(container))} if options.get("tag") else {}
    for kind, values in (("labels", container.spec.labels), ("env", container.spec.env)):
        details.update(_chosen(options, kind, dict(values)))
    return ",".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(details.items()))


def _chosen(options: Mapping[str, str], kind: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Those that are named in `labels=A,B`, and those whose names match `labels-regex=PATTERN`."""
    names = options.get(kind, "").split(",")
    pattern = options.get(f"{kind}-regex", "")
    for name, value in values.items():
        if name in names or (pattern and re.search(pattern, name)):
            yield name, value


def _tag_fields(container: Container) -> dict[str, object]:
    """What a tag's template sees. https://docs.docker.com/engine/logging/log_tags/"""
    image = container.spec.image_id
    return {
        "ID": container.short_id,
        "FullID": container.id,
        "Name": container.name,
        "ImageID": image[:12],
        "ImageFullID": f"sha256:{image}",
        "ImageName": container.spec.image,
        "DaemonName": "minirun",
    }

"""minirun build."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from minirun.cli.completion.values import FILE, networks
from minirun.cli.image.build_progress import progress_of
from minirun.cli.image.pull import pull_image, push
from minirun.cli.image.tags import check_reference
from minirun.cli.parameters import with_option_groups
from minirun.cli.session import commands, open_instance, require_root, session, warn
from minirun.engine.build.builder import Built, build
from minirun.engine.build.options import BuildOptions, Progress, Secret, check_epoch
from minirun.engine.build.run import ENDING_SIGNALS
from minirun.engine.start import WaitingShim
from minirun.errors import MinirunError
from minirun.image.build.context import BuildContext, open_context
from minirun.image.dockerfile.checks import check_options, find_warnings, unused_build_args
from minirun.image.dockerfile.parser import parse
from minirun.image.dockerfile.source import DockerfileError
from minirun.image.dockerfile.stages import make_plan
from minirun.image.dockerfile.syntax import Dockerfile
from minirun.image.layers import new_layer
from minirun.image.platforms import Platform, host_platform, parse_platform, runs
from minirun.image.records import Image
from minirun.image.reference import Reference, parse_reference
from minirun.image.resolve import find_image, local_image
from minirun.instance import Instance
from minirun.options import option_error
from minirun.options.environment import parse_labels
from minirun.options.hosts import parse_extra_hosts
from minirun.options.networks import parse_network
from minirun.options.process import parse_ulimits
from minirun.options.values import parse_bytes
from minirun.shim import prefork

if TYPE_CHECKING:
    from minirun.image.pull import Pulled

_ENTITLEMENTS = ("network.host",)
_PROGRESS = ("auto", "plain", "tty", "quiet", "rawjson")
app = commands()


@dataclass(frozen=True)
class Options:
    """The options of build."""

    add_host: Annotated[list[str], Option("--add-host", help="Add a custom host-to-IP mapping (host:ip)")] = field(
        default_factory=list
    )
    allow: Annotated[list[str], Option("--allow", help="Allow extra privileged entitlement (network.host)")] = field(
        default_factory=list
    )
    build_arg: Annotated[list[str], Option("--build-arg", help="Set build-time variables")] = field(
        default_factory=list
    )
    check: Annotated[bool, Option("--check", help="Only check the Dockerfile, and print what is suspicious")] = False
    file: Annotated[
        str, Option("--file", "-f", help='Name of the Dockerfile (default: "PATH/Dockerfile")', click_type=FILE)
    ] = ""
    force_rm: Annotated[bool, Option("--force-rm", help="Always remove intermediate containers")] = True
    iidfile: Annotated[str, Option("--iidfile", help="Write the image ID to a file", click_type=FILE)] = ""
    label: Annotated[list[str], Option("--label", help="Set metadata for an image")] = field(default_factory=list)
    load: Annotated[bool, Option("--load", help="Record the image on this host")] = True
    metadata_file: Annotated[
        str, Option("--metadata-file", help="Write build result metadata to a file", click_type=FILE)
    ] = ""
    network: Annotated[
        str,
        Option(
            "--network",
            help='Set the networking mode for the "RUN" instructions during build',
            autocompletion=networks,
        ),
    ] = "default"
    no_cache: Annotated[bool, Option("--no-cache", help="Do not use cache when building the image")] = False
    no_cache_filter: Annotated[list[str], Option("--no-cache-filter", help="Do not cache specified stages")] = field(
        default_factory=list
    )
    platform: Annotated[str, Option("--platform", help="Set target platform for build")] = ""
    progress: Annotated[
        str, Option("--progress", help="Set type of progress output: auto, plain, tty, quiet, rawjson")
    ] = "auto"
    provenance: Annotated[str, Option("--provenance", help="Make no attestation of provenance: false")] = "false"
    push: Annotated[bool, Option("--push", help="Push the image to the registries of its tags")] = False
    pull: Annotated[bool, Option("--pull", help="Always attempt to pull all referenced images")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Suppress the build output and print image ID on success")] = (
        False
    )
    rm: Annotated[bool, Option("--rm", help="Remove intermediate containers after a successful build")] = True
    sbom: Annotated[str, Option("--sbom", help="Make no attestation of contents: false")] = "false"
    secret: Annotated[
        list[str], Option("--secret", help='Secret to expose to the build: "id=mysecret[,src=/local/secret]"')
    ] = field(default_factory=list)
    shm_size: Annotated[str, Option("--shm-size", help="Shared memory size for build containers")] = ""
    ssh: Annotated[
        list[str], Option("--ssh", help='SSH agent socket to expose to the build: "default|<id>[=<socket>]"')
    ] = field(default_factory=list)
    tag: Annotated[list[str], Option("--tag", "-t", help='Name and optionally a tag (format: "name:tag")')] = field(
        default_factory=list
    )
    target: Annotated[str, Option("--target", help="Set the target build stage to build")] = ""
    ulimit: Annotated[list[str], Option("--ulimit", help="Ulimit options")] = field(default_factory=list)


@app.command("build")
@with_option_groups
def build_(
    path: Annotated[str, Argument(metavar="PATH|-", click_type=FILE)],
    options: Options,
) -> int:
    """Build an image from a Dockerfile."""
    asked = {**build_options(options, os.environ), "explains": bool(session().explain)}
    require_root()
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    shim = WaitingShim(*prefork.spawn())
    try:
        instance = open_instance()
        with new_layer(instance) as scratch:
            context = open_context(path, options.file, sys.stdin.buffer, scratch)
            dockerfile = parse(context.dockerfile, context.name)
            if options.check:
                return _check(dockerfile, asked)
            built = _build(instance, shim, context, dockerfile, options, asked)
    except DockerfileError as error:
        if error.excerpt:
            warn(error.excerpt)
        raise
    finally:
        shim.channel.close()
    _write_results(built, options)
    if options.push:
        for tag in built.tags:
            push(tag, quiet=options.quiet)
    return 0


def _build(
    instance: Instance,
    shim: WaitingShim,
    context: BuildContext,
    dockerfile: Dockerfile,
    options: Options,
    asked: dict[str, Any],
) -> Built:
    with progress_of(options.progress, options.quiet) as progress:
        warn_of_dockerfile(dockerfile, asked, progress)

        def pull(reference: Reference, platform: Platform) -> "Pulled":
            with progress.step(f"[internal] pull {reference.canonical}") as report:
                pulled = pull_image(instance, reference, platform, sys.stderr, quiet=True)
                report.line(f"{pulled.digest}")
            return pulled

        fetch = BaseImages(instance, options.pull, pull)
        return build(instance, shim, context, dockerfile, BuildOptions(fetch=fetch, **asked), progress)


def _write_results(built: Built, options: Options) -> None:
    image_id = f"sha256:{built.image.id}"
    if options.iidfile:
        _write(options.iidfile, image_id)
    if options.metadata_file:
        names = ",".join(parse_reference(tag).canonical for tag in built.tags)
        known = {"containerimage.config.digest": image_id, "containerimage.digest": image_id}
        _write(options.metadata_file, json.dumps({**known, **({"image.name": names} if names else {})}, indent=2))
    if options.quiet:
        print(image_id)


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise MinirunError(f"open {path}: {(error.strerror or str(error)).lower()}") from None


class BaseImages:
    """Finds the images that a build needs, and has those pulled that are missing; with `pulls_all`, all of them."""

    def __init__(self, instance: Instance, pulls_all: bool, pull: "Callable[[Reference, Platform], Pulled]") -> None:
        self._instance = instance
        self._pulls_all = pulls_all
        self._pull = pull

    def __call__(self, name: str, platform: Platform) -> Image:
        """Return the image. MinirunError when nobody has it."""
        image = None if self._pulls_all and not self._is_local(name) else local_image(self._instance, name)
        if image is None or (image.document.architecture and not runs(platform, image.platform)):
            pulled = self._pull(parse_reference(name).tagged(), platform)
            image = find_image(self._instance, f"sha256:{pulled.id}")
        return image

    def _is_local(self, name: str) -> bool:
        """Return whether a name is an id, which no registry knows."""
        with suppress(MinirunError):
            return bool(find_image(self._instance, name)) and len(name.removeprefix("sha256:")) == 64
        return False


def build_options(options: Options, environment: Mapping[str, str]) -> dict[str, Any]:
    """Parse the options, as fields of BuildOptions. MinirunError for the first that is wrong.

    environment: the caller's, from which a --build-arg without value is taken
    """
    if options.progress not in _PROGRESS:
        raise option_error(f"invalid value for --progress: {options.progress}", ", ".join(_PROGRESS))
    _check_fixed(options)
    for name in options.allow:
        if name not in _ENTITLEMENTS:
            raise option_error(f"invalid entitlement: {name}", "minirun knows network.host")
    arguments = dict(_arguments(options.build_arg, environment))
    if epoch := environment.get("SOURCE_DATE_EPOCH"):
        arguments.setdefault("SOURCE_DATE_EPOCH", epoch)
    check_epoch(arguments.get("SOURCE_DATE_EPOCH", ""))
    host = host_platform()
    network = parse_network([] if options.network == "default" else [options.network])
    return {
        "platform": parse_platform(options.platform, host) if options.platform else host,
        "build_platform": host,
        "tags": tuple(dict.fromkeys(check_reference(tag) for tag in options.tag)),
        "target": options.target,
        "build_args": arguments,
        "labels": dict(parse_labels(options.label, [])),
        "no_cache": options.no_cache,
        "uncached_stages": frozenset(options.no_cache_filter),
        "network": network,
        "allows_host_network": options.network == "host" or "network.host" in options.allow,
        "extra_hosts": parse_extra_hosts(options.add_host),
        "secrets": dict(map(_secret, options.secret)),
        "ssh": dict(map(_agent, options.ssh)),
        "shm_size": parse_bytes(options.shm_size, "--shm-size") if options.shm_size else 0,
        "ulimits": parse_ulimits(options.ulimit),
    }


def _check_fixed(options: Options) -> None:
    """Check the options that have one right value, which scripts give."""
    for flag, text in (("--provenance", options.provenance), ("--sbom", options.sbom)):
        if text.lower() not in ("false", "0", "f"):
            raise option_error(f"{flag}={text} is not supported: minirun makes no attestations", f"{flag}=false")
    for flag, is_on in (("--rm", options.rm), ("--force-rm", options.force_rm)):
        if not is_on:
            raise option_error(f"{flag}=false is not supported: the containers of RUN are always removed")
    if not options.load:
        raise option_error("--load=false is not supported: the image is always recorded on this host")
    if options.push and not options.tag:
        raise option_error("tag is needed when pushing to registry", "-t NAME")


def _arguments(texts: Iterable[str], environment: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """NAME=VALUE; NAME alone takes the caller's value, and is left out if there is none."""
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise option_error(f"invalid --build-arg: {text}", "NAME=VALUE, or NAME for the value that it has here")
        if equals or name in environment:
            yield name, value if equals else environment[name]


def _secret(text: str) -> tuple[str, Secret]:
    fields: dict[str, str] = {}
    for word in text.split(","):
        key, equals, value = word.partition("=")
        if not equals or key not in ("id", "src", "source", "env", "type"):
            raise option_error(f"invalid --secret: {word!r} in {text}", "id=NAME,src=FILE or id=NAME,env=VARIABLE")
        fields["src" if key == "source" else key] = value
    kind, name = fields.get("type", ""), fields.get("id", "")
    if kind not in ("", "file", "env"):
        raise option_error(f'unsupported secret type "{kind}"', "file or env")
    if "src" in fields and ("env" in fields or kind == "env"):
        fields.setdefault("env", fields.pop("src"))
    if not name:
        name = os.path.basename(fields.get("src", fields.get("env", "")))
    if not name:
        raise option_error(f"invalid --secret: {text}: it has no id", "id=NAME,src=FILE")
    if "env" in fields or kind == "env" or ("src" not in fields and name in os.environ):
        variable = fields.get("env", name)
        if variable not in os.environ:
            raise option_error(f"invalid --secret: {text}: there is no variable {variable} in the environment")
        return name, Secret(variable=variable)
    file = Path(fields.get("src", name))
    if not file.is_file():
        raise option_error(f"invalid --secret: {file}: no such file", "src=FILE")
    return name, Secret(file.absolute())


def _agent(text: str) -> tuple[str, str]:
    name, _, socket = text.partition("=")
    socket = socket or os.environ.get("SSH_AUTH_SOCK", "")
    if not socket:
        raise option_error(f"invalid empty ssh agent socket for {name}", "start ssh-agent, or name its socket")
    if not Path(socket).is_socket():
        raise option_error(
            f"{socket} is no socket of an ssh agent", "add the key to an agent (ssh-add), and name its socket"
        )
    return name, os.path.abspath(socket)


def warn_of_dockerfile(dockerfile: Dockerfile, asked: dict[str, Any], progress: Progress) -> None:
    """Tell of what is suspicious; `# check=error=true` makes it an error."""
    warnings = find_warnings(dockerfile)
    for warning in warnings:
        progress.warn(str(warning))
    if warnings and check_options(dockerfile).is_error:
        raise MinirunError(f"lint violation found for rules: {', '.join(sorted({one.rule for one in warnings}))}")
    plan = make_plan(dockerfile, asked["build_args"], asked["platform"], asked["build_platform"], asked["target"])
    if unused := unused_build_args(plan):
        progress.warn(f"One or more build-args [{' '.join(unused)}] were not consumed")


def _check(dockerfile: Dockerfile, asked: dict[str, Any]) -> int:
    """Print what is suspicious in a Dockerfile. Return the exit code."""
    make_plan(dockerfile, asked["build_args"], asked["platform"], asked["build_platform"], asked["target"])
    warnings = find_warnings(dockerfile)
    if not warnings:
        print("Check complete, no warnings found.")
        return 0
    print(f"Check complete, {len(warnings)} warning{'s' if len(warnings) > 1 else ''} found!")
    for warning in warnings:
        print(f"\n{warning.rule}\n{warning.message}\n{dockerfile.script.source.excerpt(warning.lines)}")
    return 1

"""minirun run, minirun create."""

from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import images
from minirun.cli.container import attach_session
from minirun.cli.container.launch import WaitOptions, confirm, follow, free_name
from minirun.cli.container.options import CreateOptions
from minirun.cli.container.spec import STREAMS, check_cidfile, check_terminal, spec_of, with_image, write_cidfile
from minirun.cli.parameters import NONE, DetachKeys, with_option_groups
from minirun.cli.session import commands, open_instance, require_root, session
from minirun.engine import start
from minirun.engine.owners import guarded_owner
from minirun.engine.start import StartOptions, WaitingShim
from minirun.errors import FAILED
from minirun.kernel import terminal
from minirun.options import values
from minirun.shim import prefork

app = commands()
_Image = Annotated[str, Argument(metavar="IMAGE", autocompletion=images)]
_Words = Annotated[list[str], Argument(metavar="[COMMAND] [ARG...]")]


@app.command("run", flags_end=True)
@with_option_groups
def run(
    image: _Image,
    options: CreateOptions,
    waiting: WaitOptions,
    detach_keys: DetachKeys = "",
    words: _Words = NONE,
    detach: Annotated[
        bool, Option("--detach", "-d", help="Run container in background and print container ID")
    ] = False,
    sig_proxy: Annotated[bool, Option("--sig-proxy", help="Proxy received signals to the process")] = True,
) -> int:
    """Create and run a new container from an image."""
    session().fail_with(FAILED)
    patience = waiting.patience(detach, "--detach")
    spec = spec_of(options, image, words, detach)
    streams = set() if detach else set(spec.attach or STREAMS)
    if options.name:
        values.check_name(options.name)
    check_terminal(options, detach)
    check_cidfile(options.cidfile)
    require_root()
    launch = WaitingShim(*prefork.spawn())
    instance = open_instance(repairs=False, revives=True)
    spec = with_image(instance, spec, options)
    name = options.name or free_name(instance)
    manner = attach_session.Manner(
        output=bool(streams & {"stdout", "stderr"}),
        only=next((name for name in ("stdout", "stderr") if streams & {"stdout", "stderr"} == {name}), ""),
        stdin=options.interactive and "stdin" in streams,
        tty=options.tty,
        proxy=sig_proxy,
        detach_keys=attach_session.parse_detach_keys(detach_keys),
        end_with_reader=options.remove,
    )
    size = terminal.size_of_caller() if options.tty else (0, 0)
    owner = guarded_owner(instance, options.owner_pid) if options.owner_pid else None
    terms = StartOptions(0 if detach else manner.flags, size, owner)
    container = start.run(instance, name, spec, launch, terms)
    write_cidfile(options.cidfile, container.id)
    if detach:
        code = confirm(instance, container, launch, container.id, repairs=True)
        if patience is not None and code == 0:
            patience.wait(instance, container)
        return code
    if not manner.output:
        print(container.id)
    return follow(instance, container, launch, manner, repairs=True)


@app.command("create", flags_end=True)
@with_option_groups
def create(image: _Image, options: CreateOptions, words: _Words = NONE) -> None:
    """Create a new container."""
    session().fail_with(FAILED)
    spec = spec_of(options, image, words, detach=False)
    if options.name:
        values.check_name(options.name)
    check_cidfile(options.cidfile)
    session().fail_with(1)
    require_root()
    instance = open_instance()
    spec = with_image(instance, spec, options)
    owner = guarded_owner(instance, options.owner_pid) if options.owner_pid else None
    container = start.create(instance, options.name or free_name(instance), spec, owner)
    write_cidfile(options.cidfile, container.id)
    print(container.id)

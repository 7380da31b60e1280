"""minirun help, explain, tour: how a command is used, what it does, and how container networks work."""

import os
import sys
from typing import Annotated

import click
from click.shell_completion import _resolve_context
from typer import Argument, Option

from minirun.cli.completion.values import words as choices
from minirun.cli.main import run
from minirun.cli.parameters import NONE
from minirun.cli.pflag import FlagError, UsageError
from minirun.cli.session import commands, open_instance, require_root
from minirun.diagnostics.explain.dry_run import dry_run
from minirun.diagnostics.explain.render import FORMS
from minirun.diagnostics.tour import checks, guide
from minirun.diagnostics.tour.chapters import Chapter, chapters
from minirun.errors import FAILED, MinirunError
from minirun.forkserver.location import launcher
from minirun.instance import DEFAULT_ROOT

app = commands()


@app.command("help")
def help_(ctx: click.Context, words: Annotated[list[str], Argument(metavar="[COMMAND]")] = NONE) -> None:
    """Show help for minirun or for one of its commands."""
    called = ctx.find_root()
    rest = list(words)
    while rest:
        if not isinstance(called.command, click.Group):
            raise UsageError(f"'{ctx.command_path}' takes one command")
        name, command, rest = called.command.resolve_command(called, rest)
        assert command is not None, "an unknown command is an error"
        called = click.Context(command, info_name=name, parent=called, **command.context_settings)
    click.echo(called.command.get_help(called))


@app.command("explain", flags_end=True)
def explain(
    ctx: click.Context,
    words: Annotated[list[str], Argument(metavar="COMMAND [ARG...]")],
    form: Annotated[
        str,
        Option("--format", "-f", help="How to show it (text|full|json|script)", autocompletion=choices(*FORMS)),
    ] = "text",
    full: Annotated[
        bool, Option("--full", help="All operations and whole tables of rules, with reasons and manual pages")
    ] = False,
) -> int:
    """Show what a command would do to the kernel, step by step."""
    if form not in FORMS:
        raise FlagError(f"invalid argument {form!r} for --format: one of {', '.join(FORMS)}")
    form = "full" if full and form == "text" else form
    called = _resolve_context(ctx.find_root().command, {}, "minirun", words)
    if isinstance(called.command, click.Group) or called.command.name == "explain":
        name = " ".join(words[:2] if called.parent else words[:1])
        raise MinirunError(f"unknown command: minirun {name}", "\nRun 'minirun --help' for more information", FAILED)
    is_detached = called.info_name != "run" or bool(called.params.get("detach"))
    return dry_run(open_instance(), run, words, form, is_detached)


@app.command("tour")
def tour(
    names: Annotated[list[str], Argument(metavar="[CHAPTER...]")] = NONE,
    list_: Annotated[bool, Option("--list", "-l", help="List the chapters")] = False,
    check: Annotated[
        str, Option("--check", metavar="CHAPTER", help="Check the exercise of a chapter, and say what is missing")
    ] = "",
    markdown: Annotated[
        bool, Option("--markdown", help="Run all steps and print the chapter with their output as Markdown")
    ] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="Run all steps without asking")] = False,
) -> int:
    """Learn container networks, step by step, on a throwaway copy of this host."""
    known = chapters()
    if list_:
        for chapter in known:
            print(f"{chapter.number}  {chapter.title}")
        return 0
    require_root()
    if check:
        return _check_exercise(_chosen(known, [check])[0])
    manner = guide.MARKDOWN if markdown else guide.ALONE if yes else guide.STEP
    chosen = _chosen(known, names)
    if manner == guide.STEP and not os.isatty(0):
        raise MinirunError("the tour needs a terminal", "minirun tour --yes runs it without questions", FAILED)
    for chapter in chosen:
        # The default root, whatever the caller's is: the chapters speak of its names, such as minirun0.
        ended = guide.run_chapter(chapter, len(known), DEFAULT_ROOT, _program(), manner)
        if ended == guide.QUIT:
            return 0
        if ended != guide.DONE:  # also when its throwaway host could not be made, or was killed
            raise MinirunError(
                f"chapter {chapter.number} stops here: its last command did not end as it should on this host",
                "minirun doctor may know why",
            )
    if manner != guide.MARKDOWN:
        _print_end(chosen)
    return 0


def _chosen(known: list[Chapter], names: list[str]) -> list[Chapter]:
    chosen = [chapter for chapter in known if not names or str(chapter.number) in names or chapter.name in names]
    if len(chosen) < len(set(names)):
        raise MinirunError("no such chapter", "minirun tour --list shows them", FAILED)
    return chosen


def _program() -> str:
    """The path of minirun: the launcher, if there is one, whose commands start at once."""
    return str(launcher() or os.path.abspath(sys.argv[0]))


def _check_exercise(chapter: Chapter) -> int:
    missing = checks.check(open_instance(repairs=False), chapter.number, _program())
    print(f"Exercise {chapter.number}: {'not done yet' if missing else 'done'}")
    for sentence in missing:
        print(guide.wrapped(sentence))
    return 1 if missing else 0


def _print_end(visited: list[Chapter]) -> None:
    """What was learned, and where to go on."""
    print(guide.wrapped("# What you have learned") + "\n")
    for chapter in visited:
        print(guide.wrapped(f"{chapter.number}. {chapter.learned}"))
    more = f"Each chapter ends with an exercise: do it, then run minirun tour --check {visited[0].number}, for example."
    print("\n" + guide.wrapped(more))

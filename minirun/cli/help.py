"""The lines of help that other texts have, too. The whole page is help_page.py."""

import click


def usage_line(command: click.Command, ctx: click.Context) -> str:
    """Usage:  minirun stop [OPTIONS] CONTAINER [CONTAINER...]"""
    return " ".join(["Usage: ", ctx.command_path, *command.collect_usage_pieces(ctx)])


def paragraphs(text: str) -> str:
    """A docstring as help: the first paragraph without its full stop, and no line breaks within paragraphs."""
    first, *others = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join([first.removesuffix("."), *others])


def short_help(command: click.Command) -> str:
    """A command's line in lists."""
    return paragraphs(command.help or "").partition("\n")[0]

"""minirun tour: container networks, step by step, for real."""

import os
import sys

from minirun.cli.app import session
from minirun.cli.opening import require_root
from minirun.cli.verb import Verb, switch
from minirun.errors import FAILED, MinirunError
from minirun.instance import state_root


class Tour(Verb):
    usage = "[CHAPTER...]"
    completes = "-"
    yes = switch("yes", "y", "Do all without asking")
    list = switch("list", "l", "List the chapters")
    markdown = switch("markdown", "", "Do all, and print the chapter with what came of it as Markdown")

    def run(self) -> int:
        from minirun.diagnostics.tour import guide
        from minirun.diagnostics.tour.chapters_reader import chapters

        known = chapters()
        if self.list:
            for one in known:
                print(f"{one.number}  {one.title}")
            return 0
        require_root()
        chosen = [one for one in known if not self.words or str(one.number) in self.words or one.name in self.words]
        if len(chosen) < len(set(self.words)):
            raise MinirunError("no such chapter", "minirun tour --list shows them", FAILED)
        manner = guide.MARKDOWN if self.markdown else guide.ALONE if self.yes else guide.STEP
        if manner == guide.STEP and not os.isatty(0):
            raise MinirunError("nobody is at the terminal to be asked", "minirun tour --yes does all by itself", FAILED)
        program, root = os.path.abspath(sys.argv[0]), state_root(session().root)
        return max(guide.go_through(one, root, program, manner) for one in chosen)

"""minirun tour: container networks, step by step, with real commands."""

import os
import sys

from minirun.cli.app import session
from minirun.cli.opening import require_root
from minirun.cli.verb import Verb, switch
from minirun.diagnostics.tour import guide
from minirun.diagnostics.tour.chapters import chapters
from minirun.errors import FAILED, MinirunError
from minirun.instance import state_root


class Tour(Verb):
    usage = "[CHAPTER...]"
    completes = "-"
    yes = switch("yes", "y", "Run all steps without asking")
    list = switch("list", "l", "List the chapters")
    markdown = switch("markdown", "", "Run all steps and print the chapter with their output as Markdown")

    def run(self) -> int:
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
            raise MinirunError("the tour needs a terminal", "minirun tour --yes runs it without questions", FAILED)
        program, root = os.path.abspath(sys.argv[0]), state_root(session().root)
        return max(guide.run_chapter(chapter, root, program, manner) for chapter in chosen)

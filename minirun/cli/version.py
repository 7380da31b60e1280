"""minirun version."""

import os

from minirun import __version__
from minirun.cli.format import shower
from minirun.cli.verb import Verb, value
from minirun.image.create import architecture


class Version(Verb):
    most = 0
    form = value("format", "f", "Format output using a custom template: json or TEMPLATE")

    def run(self) -> None:
        import platform

        uname = os.uname()
        found = {
            "Version": __version__,
            "Python": platform.python_version(),
            "KernelVersion": uname.release,
            "Os": uname.sysname.lower(),
            "Arch": architecture(),
        }
        if self.form:
            # Docker's has two halves. Here they are one program, and scripts that ask for either are answered.
            print(shower(self.form)({**found, "Client": found, "Server": found}))
            return
        print(f"minirun version {__version__}")
        print(f" Python:  {found['Python']}")
        print(f" Kernel:  {found['KernelVersion']}")
        print(f" OS/Arch: {found['Os']}/{found['Arch']}")

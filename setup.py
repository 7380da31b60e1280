"""Build the C pieces: the cffi module (API mode), and three static programs: the stub that execs the payload, what a
shim is while it sleeps, and the launcher, which `pip install` makes the `minirun` on the PATH."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
PROGRAMS = {
    "csrc/stub.c": "kernel/payload-stub",
    "csrc/sleeper.c": "kernel/sleeper",
    "csrc/launcher.c": "forkserver/launcher",
}
LAUNCHER = "build/bin/minirun"  # the same once more, by the name that it is installed with


class BuildWithPrograms(build_ext):
    """cffi builds the module; what is beside it are programs of their own, so no Extension fits them."""

    def run(self) -> None:
        super().run()
        inplace = getattr(self, "inplace", False) or getattr(self, "editable_mode", False)
        out = (HERE if inplace else Path(self.build_lib)) / "minirun"
        for source, program in PROGRAMS.items():
            (out / program).parent.mkdir(parents=True, exist_ok=True)
            objects = self.compiler.compile([source], output_dir=self.build_temp, extra_postargs=["-Os", "-Wall"])
            self.compiler.link_executable(
                objects,
                program,
                output_dir=str(out),
                extra_postargs=["-static", "-Wl,--gc-sections", "-s"],
            )
        (HERE / LAUNCHER).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(out / "forkserver/launcher", HERE / LAUNCHER)


setup(
    cffi_modules=["csrc/build_sys.py:ffibuilder"],
    cmdclass={"build_ext": BuildWithPrograms},
    data_files=[
        ("bin", [LAUNCHER]),
        ("libexec", ["packaging/libexec/minirun", "packaging/libexec/minirun-forkserver"]),
    ],
)

"""Build the C pieces: the cffi module (API mode), and two static programs: the stub that execs the payload, and what a
monitor is while it sleeps."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
PROGRAMS = {"csrc/stub.c": "payload-stub", "csrc/sleeper.c": "sleeper"}


class BuildWithPrograms(build_ext):
    """cffi builds the module; what is beside it are programs of their own, so no Extension fits them."""

    def run(self) -> None:
        super().run()
        inplace = getattr(self, "inplace", False) or getattr(self, "editable_mode", False)
        out = (HERE if inplace else Path(self.build_lib)) / "minirun" / "kernel"
        out.mkdir(parents=True, exist_ok=True)
        for source, program in PROGRAMS.items():
            objects = self.compiler.compile([source], output_dir=self.build_temp, extra_postargs=["-Os", "-Wall"])
            self.compiler.link_executable(
                objects,
                program,
                output_dir=str(out),
                extra_postargs=["-static", "-Wl,--gc-sections", "-s"],
            )


setup(cffi_modules=["csrc/build_sys.py:ffibuilder"], cmdclass={"build_ext": BuildWithPrograms})

"""Build the two C pieces: the cffi module (API mode) and the static stub that execs the payload."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent


class BuildWithStub(build_ext):
    """cffi builds the module; the stub beside it is a program of its own, so no Extension fits it."""

    def run(self) -> None:
        super().run()
        inplace = getattr(self, "inplace", False) or getattr(self, "editable_mode", False)
        out = (HERE if inplace else Path(self.build_lib)) / "minirun" / "kernel"
        out.mkdir(parents=True, exist_ok=True)
        objects = self.compiler.compile(["csrc/stub.c"], output_dir=self.build_temp, extra_postargs=["-Os", "-Wall"])
        self.compiler.link_executable(
            objects,
            "payload-stub",
            output_dir=str(out),
            extra_postargs=["-static", "-Wl,--gc-sections", "-s"],
        )


setup(cffi_modules=["csrc/build_sys.py:ffibuilder"], cmdclass={"build_ext": BuildWithStub})

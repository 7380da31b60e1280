"""Declare the C functions that Python calls; cffi compiles them into minirun/kernel/_sys (API mode)."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent

ffibuilder = FFI()
ffibuilder.cdef((HERE / "sys.h").read_text())
ffibuilder.set_source(
    "minirun.kernel._sys",
    (HERE / "sys.c").read_text(),
    py_limited_api=True,
    libraries=["dl"],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)

"""Sizes, CPUs and combinations of limits: tables of cases, and any text."""

from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.kernel.limits import Limits
from minirun.options import limits as words
from minirun.options import values
from tests.integration.kernel.cgroup_bench import MIB

SIZES = {
    "0": 0,
    "7": 7,
    "7b": 7,
    "64m": 64 * MIB,
    "64M": 64 * MIB,
    "64mb": 64 * MIB,
    "64 MiB": 64 * MIB,
    "1.5g": 1536 * MIB,
    ".5k": 512,
    "1.k": 1024,
    "1t": MIB**2,
    "1p": 1024 * MIB**2,
    "0.3k": 307,
}


@pytest.mark.parametrize("text", list(SIZES))
def test_sizes(text: str) -> None:
    assert values.parse_bytes(text) == SIZES[text]


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1e3", "64x", "64mm", "64bb", "64ibm", "6 4m", "٣m", "9999p", "1" * 99]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(MinirunError, match=r"--memory-reservation: (invalid size|too large)"):
        values.parse_bytes(text, "--memory-reservation")


def test_memory_has_a_minimum_and_swap_a_minus_one() -> None:
    assert words.check_limits(Limits(memory=6 * MIB)).memory == 6 * MIB
    assert words.check_limits(Limits(memory=0)).memory == 0
    with pytest.raises(MinirunError, match=r"^Minimum memory limit allowed is 6MB$"):
        words.check_limits(Limits(memory=6 * MIB - 1))
    assert words.parse_memory_swap("-1") == -1
    assert words.parse_memory_swap("1k") == 1024
    with pytest.raises(MinirunError, match="--memory-swap: invalid size"):
        words.parse_memory_swap("-2")


CPUS = {"1.5": 1_500_000_000, "2": 2_000_000_000, ".01": 10_000_000, "1.": 1_000_000_000, "0.000000001": 1, "0": 0}


@pytest.mark.parametrize("text", list(CPUS))
def test_cpus(text: str) -> None:
    assert words.parse_cpus(text) == CPUS[text]


@pytest.mark.parametrize(
    ("text", "error"),
    [("", "not a number"), (".", "not a number"), ("-1", "not a number"), ("0.0000000001", "too precise")]
    + [("1,5", "not a number"), ("9" * 20, "too large"), ("9" * 5000, "not a number"), ("1.0.0", "not a number")],
)
def test_no_cpus(text: str, error: str) -> None:
    with pytest.raises(MinirunError, match=error):
        words.parse_cpus(text)


@given(st.text() | st.from_regex(r"[0-9. ]{0,30}[bkmgtpiBKM]{0,3}", fullmatch=True))
def test_any_words_give_a_number_or_one_error(text: str) -> None:
    for parse in (values.parse_bytes, words.parse_memory_swap, words.parse_cpus):
        try:
            assert -1 <= parse(text) < 1 << 63
        except MinirunError:
            pass
    try:
        assert words.parse_cpu_list(text)
    except MinirunError:
        pass


@given(st.integers(0, (1 << 63) - 1))
def test_a_number_of_bytes_stays_what_it_is(size: int) -> None:
    assert values.parse_bytes(str(size)) == values.parse_bytes(f"{size}b") == size


@given(st.integers(0, 1000), st.integers(0, 999_999_999))
def test_cpus_are_exact(whole: int, nano: int) -> None:
    assert words.parse_cpus(f"{whole}.{nano:09}") == whole * 1_000_000_000 + nano


_PERIOD = "CPU cfs period can not be less than 1ms (i.e. 1000)"
CHECKS = [
    (Limits(memory=MIB), "Minimum memory limit allowed is 6MB"),
    (Limits(memory_swap=7 * MIB), "You should always set the Memory limit when using Memoryswap limit, see usage"),
    (
        Limits(memory=9 * MIB, memory_swap=8 * MIB),
        "Minimum memoryswap limit should be larger than memory limit, see usage",
    ),
    (Limits(memory_reservation=5), "Minimum memory reservation allowed is 6MB"),
    (
        Limits(memory=8 * MIB, memory_reservation=9 * MIB),
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    ),
    (
        Limits(nano_cpus=2_000_000_001),
        "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
    ),
    (Limits(nano_cpus=9_999_999), "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
    (Limits(cpu_shares=-1), "invalid CPU shares (-1): value must be a positive integer"),
    (Limits(cpuset_cpus="0-9"), "Requested CPUs are not available - requested 0-9, available: 0-1"),
    (Limits(cpuset_cpus="1-0"), "Invalid value 1-0 for cpuset cpus"),
    (Limits(cpuset_cpus="0,"), "Invalid value 0, for cpuset cpus"),
    (Limits(cpuset_mems="0-999"), "Requested memory nodes are not available - requested 0-999, available: 0"),
    (Limits(cpuset_mems="x"), "Invalid value x for cpuset mems"),
    (Limits(cpu_period=999), f"{_PERIOD} or larger than 1s (i.e. 1000000)"),
    (Limits(cpu_period=1_000_001), f"{_PERIOD} or larger than 1s (i.e. 1000000)"),
    (Limits(cpu_period=-1), f"{_PERIOD} or larger than 1s (i.e. 1000000)"),
    (Limits(cpu_quota=999), "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
    (
        Limits(nano_cpus=10**9, cpu_period=1000),
        "Conflicting options: Nano CPUs and CPU Period cannot both be set.",
    ),
    (Limits(nano_cpus=10**9, cpu_quota=1000), "Conflicting options: Nano CPUs and CPU Quota cannot both be set."),
    (Limits(pids=-2), "Invalid pids limit: -2"),
    (Limits(blkio_weight=9), "Range of blkio weight is from 10 to 1000"),
    (Limits(blkio_weight=1001), "Range of blkio weight is from 10 to 1000"),
]


@pytest.mark.parametrize(("asked", "error"), CHECKS, ids=[error[:40] for _, error in CHECKS])
def test_refusals_in_dockers_words(asked: Limits, error: str) -> None:
    with pytest.raises(MinirunError) as raised:
        words.check_limits(asked, "0-1", "0")
    assert raised.value.message == error
    assert raised.value.code == 125


def test_what_can_be_asked_for() -> None:
    for asked in (
        Limits(),
        Limits(8 * MIB, -1, 7 * MIB, 2_000_000_000, 1024, "0-1", -1, 10),
        Limits(cpu_period=1_000, cpu_quota=-1, cpuset_mems="0"),
        Limits(cpu_period=1_000_000, cpu_quota=1_000),
        Limits(
            memory=6 * MIB, memory_swap=6 * MIB, memory_reservation=6 * MIB, nano_cpus=10_000_000, blkio_weight=1000
        ),
    ):
        assert words.check_limits(asked, "0-1", "0") is asked
    assert words.parse_cpu_list("0-2,5,2-3") == {0, 1, 2, 3, 5}


def test_an_update_keeps_what_it_does_not_name() -> None:
    old = Limits(memory=64 * MIB, pids=5)
    assert astuple(words.merge_limits(old, Limits(nano_cpus=7))) == astuple(replace(old, nano_cpus=7))
    # The default swap of the first limit stands: to go past it, both must be named.
    grown = words.merge_limits(old, Limits(memory=100 * MIB))
    assert (grown.memory, grown.memory_swap) == (100 * MIB, 128 * MIB)
    with pytest.raises(MinirunError, match="update the memoryswap at the same time"):
        words.merge_limits(old, Limits(memory=200 * MIB))
    assert words.merge_limits(old, Limits(memory=200 * MIB, memory_swap=-1)).memory_swap == -1
    assert words.merge_limits(Limits(pids=5), Limits(pids=-1)).pids == -1


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (Limits(cpu_period=1000), Limits(nano_cpus=10**9), "Nano CPUs cannot be updated as CPU Period has already"),
        (Limits(cpu_quota=1000), Limits(nano_cpus=10**9), "Nano CPUs cannot be updated as CPU Quota has already"),
        (Limits(nano_cpus=10**9), Limits(cpu_period=1000), "CPU Period cannot be updated as NanoCPUs has already"),
        (Limits(nano_cpus=10**9), Limits(cpu_quota=1000), "CPU Quota cannot be updated as NanoCPUs has already"),
    ],
)
def test_an_update_does_not_change_cpus_into_a_quota(old: Limits, new: Limits, error: str) -> None:
    with pytest.raises(MinirunError, match=f"^Conflicting options: {error} been set"):
        words.merge_limits(old, new)

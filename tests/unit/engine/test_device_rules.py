"""Devices and --device-cgroup-rule become rules."""

from minirun.engine.start_plan import device_rules
from minirun.kernel.devices import ALWAYS
from minirun.model import Device


def test_devices_and_words_become_rules() -> None:
    found = device_rules([Device("/dev/null", "/x", "r")], ["a 7:* rm", "c *:3 w"])
    assert found == (*ALWAYS, ("c", 1, 3, "r"), ("b", 7, -1, "rm"), ("c", 7, -1, "rm"), ("c", -1, 3, "w"))

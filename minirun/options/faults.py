"""The options of `minirun fault`: percentages, rates, directions, and answers of DNS."""

import re
from ipaddress import ip_address

from minirun.model import BOTH, INWARD, OUTWARD
from minirun.options import invalid_argument
from minirun.options.values import find_duration

FAILURES = ("nxdomain", "servfail", "refused", "timeout")
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{0,6})?)([kmg]?)(?:bit)?(?:/s|ps)?\Z", re.IGNORECASE | re.ASCII)
_LEAST_RATE, _MOST_RATE = 8_000, 32_000_000_000  # bits in a second: tbf's rate is 32 bits of bytes
_LONGEST = 60.0  # seconds


def parse_percent(text: str) -> float:
    """Parse a percentage of packets, such as 10, 0.5 or 12.5%."""
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0.001 <= percent <= 100:
        raise invalid_argument(text, "percent", "it is not a percentage", "a number from 0.001 to 100, such as 10")
    return percent


def parse_rate(text: str) -> int:
    """Parse bits in a second, in powers of 1000 as networks have them: 64kbit, 1.5mbit, 1gbit, 1000000."""
    match = _RATE.match(text)
    rate = int(float(match[1]) * 1000 ** ("kmg".index(match[2].lower()) + 1 if match[2] else 0)) if match else 0
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        hint = "bits in a second from 8kbit to 32gbit, such as 64kbit or 1mbit"
        raise invalid_argument(text, "rate", "it is not a rate", hint)
    return rate


def parse_delay(text: str, flag: str) -> int:
    """Parse a delay such as 100ms. Return microseconds."""
    seconds = find_duration(text)
    if seconds is None or seconds > _LONGEST:
        raise invalid_argument(text, flag, "it is not a delay", "at most 60s, such as 100ms")
    return round(seconds * 1e6)


def parse_direction(text: str) -> str:
    """Parse a direction as the container sees it: in, out or both."""
    if text not in (INWARD, OUTWARD, BOTH):
        raise invalid_argument(text, "direction", "it is not a direction", f"{INWARD}, {OUTWARD} or {BOTH}")
    return text


def parse_failure(text: str) -> str:
    """Parse how a query fails."""
    if text not in FAILURES:
        raise invalid_argument(text, "fail", "it is not a failure", ", ".join(FAILURES))
    return text


def parse_answer(text: str) -> str:
    """Parse an address that a name gets."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise invalid_argument(text, "answer", "it is not an IP address", "such as 192.0.2.1 or 2001:db8::1") from None

"""--wait of run and start."""

from minirun.cli.app import warn
from minirun.cli.verb import Verb, switch, value
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Container


class WaitFlags(Verb):
    wait = switch("wait", "", "With a detached container, return when it is ready: healthy, or listening on its ports")
    wait_timeout = value("wait-timeout", "", "Seconds that --wait waits at most (default: no limit)", kind="seconds")

    def patience(self, detached: bool, how: str) -> float | None:
        """Seconds, 0 for no limit; None: --wait was not asked for."""
        if self.wait_timeout and not self.wait:
            raise MinirunError("--wait-timeout goes with --wait")
        if self.wait and not detached:
            raise MinirunError(f"--wait goes with {how}: an attached command is there until the container ends")
        return parse_seconds(self.wait_timeout, "--wait-timeout") if self.wait else None


def wait_until_ready(instance: Instance, container: Container, seconds: float) -> None:
    from minirun.engine.readiness import wait_for_all  # most starts do not wait

    wait_for_all(instance, container, seconds, warn)


def parse_seconds(text: str, flag: str) -> float:
    """0: no limit."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if text and not (digits.isascii() and digits.isdigit() and len(digits) < 12 and whole):
        raise MinirunError(f'invalid argument "{text}" for "{flag}" flag: not a number of seconds')
    return float(text or 0)

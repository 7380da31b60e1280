"""From the words behind the flags of run and create to the model: one small module a subject, imported only when one
of its flags is given. Each error is one clear line, in Docker's words where it has any."""

from minirun.errors import FAILED, MinirunError


def bad(message: str, hint: str = "") -> MinirunError:
    return MinirunError(message, hint, FAILED)


def invalid(text: str, flag: str, why: str, hint: str = "") -> MinirunError:
    """As pflag words it."""
    return bad(f'invalid argument "{text}" for "--{flag}" flag: {why}', hint)

"""Signals as the plain numbers of the C module below `signal`, which makes three enumerations of them."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import (
        NSIG,
        SIG_BLOCK,
        SIG_DFL,
        SIG_IGN,
        SIG_UNBLOCK,
        SIGKILL,
        SIGSTOP,
        SIGTERM,
        SIGWINCH,
        default_int_handler,
        pidfd_send_signal,
        pthread_sigmask,
        set_wakeup_fd,
        signal,
        valid_signals,
    )

    NUMBERS: dict[str, int] = {}

__all__ = [
    "NSIG",
    "NUMBERS",
    "SIGKILL",
    "SIGSTOP",
    "SIGTERM",
    "SIGWINCH",
    "SIG_BLOCK",
    "SIG_DFL",
    "SIG_IGN",
    "SIG_UNBLOCK",
    "default_int_handler",
    "pidfd_send_signal",
    "pthread_sigmask",
    "set_wakeup_fd",
    "signal",
    "valid_signals",
]

if not TYPE_CHECKING:
    import _signal

    # By name, of all that this machine has.
    NUMBERS = {name: value for name, value in vars(_signal).items() if name.startswith("SIG") and name[3] != "_"}
    globals().update({name: getattr(_signal, name) for name in __all__ if name != "NUMBERS"})

"""JSON that minirun itself has written: the same C functions that `json` calls, without the regular expressions that it
needs for text from elsewhere. Where an interpreter has them otherwise, `json` itself.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from json import dumps, loads
else:
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner

        class _Manner:
            """What the scanner asks a decoder."""

            strict = True
            object_hook = object_pairs_hook = None
            parse_float, parse_int = float, int
            parse_constant = float  # NaN, Infinity, -Infinity

        _scan = make_scanner(_Manner)

        def loads(text: str) -> object:
            """json.JSONDecodeError for what is not JSON."""
            try:
                value, end = _scan(text, 0)
            except StopIteration:
                end = -1
            if end != len(text):  # blanks around it, or a mistake: json has the words for that
                from json import loads

                return loads(text)
            return value

        def dumps(value: object) -> str:
            """On one line, in ASCII."""
            # A new one each time: after an error its list of what is being written would not be empty.
            return "".join(
                make_encoder({}, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True)(value, 0)
            )

        def _refuse(value: object) -> None:
            raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

        dumps(loads('{"made": [1.5, null]}'))
    except (ImportError, TypeError):
        from json import dumps, loads

__all__ = ["dumps", "loads"]

"""A name for a container that was given none: a mood and a city, after the article whose namespaces are cities."""

import os

_MOODS = (
    "amber brave brisk calm clever cosy eager fair fond gentle glad grand happy keen kind lively lucky merry mild"
    " neat nimble plucky proud quick quiet sharp sunny swift tidy warm wise witty"
).split()
_CITIES = (
    "accra athens bergen bogota boston cairo cusco dakar delhi dublin fez geneva hanoi havana kyiv kyoto lima lisbon"
    " lyon malaga nairobi nyc oslo perth porto quito riga rome sfo seoul sofia tunis turin venice vienna zurich"
).split()


def random_name() -> str:
    first, second, *number = os.urandom(4)
    tail = int.from_bytes(bytes(number), "big") % 1000
    return f"{_MOODS[first % len(_MOODS)]}_{_CITIES[second % len(_CITIES)]}{tail}"

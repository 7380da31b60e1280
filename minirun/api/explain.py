"""`X-Minirun-Explain` on any request: the kernel operations that it did, as the shell commands that do the same."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from minirun.api.http import JSON, ApiError, Response, answer
from minirun.diagnostics.explain.recorder import RECORDER
from minirun.diagnostics.explain.render import FORMS, as_form
from minirun.diagnostics.explain.terminal_text import Style

HEADER = "x-minirun-explain"
_LOG = "log"
_STYLE = Style(100)
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


@contextmanager
def explaining(headers: Mapping[str, str], root: Path, request: str) -> Iterator[Callable[[Response], Response]]:
    """Record what a request does, if it asks for that. Yields what turns its answer into the one that it gets.

    ApiError for a form that does not exist.
    """
    form = headers.get(HEADER, "")
    if not form:
        yield lambda response: response
        return
    if form not in (*FORMS, _LOG):
        raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid {HEADER} '{form}': {', '.join(FORMS)} or {_LOG}")
    RECORDER.start()
    try:
        yield lambda response: response if form == _LOG else _explained(response, form, str(root))
        if form == _LOG:
            text = as_form("text", RECORDER.records(), str(root), _STYLE)
            print(f"{request}\n{text}", file=sys.stderr, flush=True)
    finally:
        RECORDER.stop()


def _explained(response: Response, form: str, root: str) -> Response:
    """A text, or in JSON the request's own answer and the steps. A stream's own answer is left out."""
    text = as_form(form, RECORDER.records(), root, _STYLE)
    status = HTTPStatus.OK if response.status in _BODILESS else HTTPStatus(response.status)
    if form == "json":
        return answer({"Answer": _value(response), "Steps": json.loads(text)}, status)
    return Response(status, f"{text}\n".encode(), "text/plain; charset=utf-8")


def _value(response: Response) -> Any:
    if not isinstance(response.body, bytes) or not response.body or response.content_type != JSON:
        return None
    return json.loads(response.body)

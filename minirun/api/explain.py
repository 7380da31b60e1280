"""`X-Minirun-Explain` on any request: the kernel operations that it did, as the shell commands that do the same."""

import json
import sys
from collections.abc import Mapping
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


class Explanation:
    """What a request has done, in the form that it asks for: in place of its answer, or for `log` beside it."""

    def __init__(self, form: str, root: Path) -> None:
        self._form = form
        self._root = str(root)
        RECORDER.start()
        RECORDER.forget()  # those of an earlier request of this connection

    @classmethod
    def wanted(cls, headers: Mapping[str, str], root: Path) -> "Explanation | None":
        """Record from now on, if the request asks for it. ApiError for a form that does not exist."""
        form = headers.get(HEADER, "")
        if not form:
            return None
        if form not in (*FORMS, _LOG):
            raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid {HEADER} '{form}': {', '.join(FORMS)} or {_LOG}")
        return cls(form, root)

    def answer(self, response: Response) -> Response:
        """The answer: a text, or in JSON the request's own answer and the steps. A stream's own answer is left out."""
        if self._form == _LOG:
            return response
        text = as_form(self._form, RECORDER.records(), self._root, _STYLE)
        status = HTTPStatus.OK if response.status in _BODILESS else HTTPStatus(response.status)
        if self._form == "json":
            return answer({"Answer": _value(response), "Steps": json.loads(text)}, status)
        return Response(status, f"{text}\n".encode(), "text/plain; charset=utf-8")

    def log(self, request: str) -> None:
        """With `log`: print the operations to the service's standard error."""
        if self._form == _LOG:
            print(f"{request}\n{as_form('text', RECORDER.records(), self._root, _STYLE)}", file=sys.stderr, flush=True)


def _value(response: Response) -> Any:
    if not isinstance(response.body, bytes) or not response.body or response.content_type != JSON:
        return None
    return json.loads(response.body)

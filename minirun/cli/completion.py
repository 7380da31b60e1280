"""minirun completion bash|zsh|fish, and what the scripts that it prints ask."""

from pathlib import Path

import minirun.cli.completion_data
from minirun.cli.verb import Verb
from minirun.errors import MinirunError

_SHELLS = ("bash", "zsh", "fish")


class Completion(Verb):
    """For this shell: source <(minirun completion bash). For all that follow, put what it prints where the shell
    looks: /usr/local/share/bash-completion/completions/minirun, a file _minirun in a directory of zsh's $fpath, or
    ~/.config/fish/completions/minirun.fish."""

    usage = "bash|zsh|fish"
    least = most = 1
    completes = "bash|zsh|fish"

    def run(self) -> None:
        shell = self.words[0]
        if shell not in _SHELLS:
            raise MinirunError(f"no completion for {shell}", "there is one for " + ", ".join(_SHELLS))
        print((Path(minirun.cli.completion_data.__file__).parent / f"minirun.{shell}").read_text(), end="")


class Complete(Verb):
    """Candidates, one a line, with a tab and a line of help; then a colon and what else the shell is to do."""

    def read(self, words: list[str]) -> bool:
        self.words = words  # whatever is being typed: none of it is this verb's own
        return True

    def run(self) -> None:
        try:
            from minirun.cli.completion_data.answers import answer

            found = answer(self.words)
        except Exception:  # noqa: BLE001 - a half typed line is no error, and a prompt is no place for one
            print(":")
            return
        for candidate, line in found.candidates.items():
            print(f"{candidate}\t{line}" if line else candidate)
        print(f":{found.directive}")

"""minirun tour: how container networks work, step by step, with real commands on a throwaway copy of this host.

chapters/    the text and the commands, as Markdown: in a code block, each line that begins with `$ ` is a command
             (after ```fails, one that is expected to fail), and `> ` begins a question to think about
chapters.py  splits a chapter into its parts
checks.py    checks the exercises by what there is on the host
guide.py     runs a chapter: with a prompt before each step, without prompts, or as Markdown (docs/learn)
"""

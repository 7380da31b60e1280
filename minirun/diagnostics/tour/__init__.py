"""minirun tour: how container networks work, step by step, with real commands on a throwaway copy of this host.

chapters/    the text and the commands, as Markdown: in a code block, each line that begins with `$ ` is a command
chapters.py  splits a chapter into its parts
guide.py     runs a chapter: with a prompt before each step, without prompts, or as Markdown (docs/learn)
"""

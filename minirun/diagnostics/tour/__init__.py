"""minirun tour: the mechanism of container networks, done step by step, for real, on a throwaway copy of this host.

chapters/    what is told and done, as Markdown: of a code block, each line that begins with `$ ` is a command
reading.py   from a chapter's text to its parts
guide.py     going through one, with somebody at the terminal, alone, or to write it down (docs/learn)
"""

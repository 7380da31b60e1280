"""The command line: options are declared, the engine or a diagnostic is called, and the result is printed. Only
minirun/__main__.py calls it. It may call every other room, but decides nothing about containers itself.

app.py is the typer application, main.py turns errors into exit codes, pflag.py is Docker's way of reading flags.
"""

"""The front end of `build`: from the text of a Dockerfile to steps that an executor can run.

Everything here is a pure function of text and plain data; only cache_keys.py reads files, through descriptors that are
given to it. The way through: statements.py splits the text into statements, parser.py makes instructions of them
(syntax.py), stages.py picks the stages that a target needs, stage_state.py expands the variables of a stage and returns
the steps to execute (steps.py), cache_keys.py names the result of a step. The command line and an executor of builds
call this package, and so do `commit --change` and `import --change` through minirun.image.instructions; it calls
minirun.options and minirun.errors.
"""

"""One small module per command: its docstring is the help, `add_arguments` and `run` are the command.

Heavy imports belong inside `run`, so that `ssld --help` answers at once.
"""

"""The commands of `python -m dedup`; a module each with `main(arguments)`."""

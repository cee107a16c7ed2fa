"""`python -m tasktape` is `tasktape`."""

from tasktape.cli import main

main(prog_name="tasktape")

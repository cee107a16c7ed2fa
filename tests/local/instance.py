"""Instance with a stand-in for the product: `python instance.py DATA PORT [SECONDS TO WAIT]`."""

import os
import sys
from pathlib import Path

import click

from tasktape.local.data_dir import DataDir
from tasktape.local.errors import LocalError
from tasktape.local.foreground import run_instance
from tasktape.local.stack import Options

FAKE_PRODUCT = Path(__file__).with_name("fake_product.py")


def main(data: str, port: str, limit_s: str = "60") -> None:
    command = (sys.executable, str(FAKE_PRODUCT))
    options = Options(
        DataDir(Path(data)), "127.0.0.1", int(port), 1, dict(os.environ), float(limit_s), command
    )
    try:
        run_instance(options, lambda *_: None, click.echo, lambda: click.echo("ready"))
    except KeyboardInterrupt:
        sys.exit(130)
    except LocalError as error:
        raise SystemExit(f"Error: {error}") from None


main(*sys.argv[1:])

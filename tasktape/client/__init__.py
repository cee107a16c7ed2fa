"""The Python client, as the distribution of the server names it: see `tasktape_client`."""

from tasktape_client import *  # noqa: F403

"""The models of the Python client: see `tasktape_client.models`."""

from tasktape_client.models import *  # noqa: F403

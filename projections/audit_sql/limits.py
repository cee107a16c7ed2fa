"""Limits of an auditor's statement."""

from __future__ import annotations

STATEMENT_S = 30
"""Seconds for PostgreSQL to answer one request for rows."""
DEADLINE_S = 60
"""Seconds for the whole statement."""
MAX_ROWS = 100_000
USUAL_ROWS = 1_000
MAX_COLUMNS = 100
"""PostgreSQL calls functions with at most 100 arguments, and so makes JSON of a row."""
MAX_ROW_BYTES = 2**20
MAX_RESULT_BYTES = 16 * 2**20
"""The text of the rows; more rows are left out."""
FETCHED_BYTES = 4 * 2**20
"""So much is fetched at once, as far as the rows before let expect."""
MOST_FETCHED = 2_000
AT_ONCE = 4
"""The most statements of one API process."""

SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": f"{STATEMENT_S}s",
    "transaction_timeout": f"{DEADLINE_S}s",
    "idle_in_transaction_session_timeout": f"{DEADLINE_S}s",
    "lock_timeout": "5s",
    "work_mem": "16MB",
    "hash_mem_multiplier": "1",
    "max_parallel_workers_per_gather": "0",
    # It cancels the statement of a process that was killed.
    "client_connection_check_interval": "1s",
    "jit": "off",
}
"""Settings of the role, which each session asks for too: an administrator may have created the role."""
FIXED_SETTINGS = {"temp_file_limit": "1GB"}
"""Settings of the role that only a superuser may give it."""
CONNECTIONS = 20
"""The most connections of the role, from all API processes together."""

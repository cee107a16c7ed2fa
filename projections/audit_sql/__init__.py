"""SQL for auditors: the views that they read, and statements under a role that can do nothing else."""

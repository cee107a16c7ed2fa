"""Search in the audit: conditions, orders, the ways to find a page, and counts."""

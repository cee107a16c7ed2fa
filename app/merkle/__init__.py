"""Merkle trees over the log (RFC 9162), tree heads, and signed notes; without input and output."""

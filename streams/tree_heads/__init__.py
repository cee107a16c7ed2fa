"""Tree heads: the keys that sign them, their topic, and the loop that signs."""

"""A copy of the audit in Parquet files by day, which is brought up to date again and again."""

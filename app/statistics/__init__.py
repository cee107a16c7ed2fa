"""Statistics of lists: changes, days, percentiles, flow and the forecast. All of it is pure."""

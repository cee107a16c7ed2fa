"""Task search: planner, filters, order, index walk and index lookup."""

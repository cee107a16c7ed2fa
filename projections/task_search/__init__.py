"""The search for tasks: planner, filters, order, index walk and index lookup."""

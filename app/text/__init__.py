"""Text by the rules of Unicode: names, folding, clusters, order, JSON."""

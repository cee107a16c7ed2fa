"""Generations: complete sets of the read models, how they are made, checked and opened."""

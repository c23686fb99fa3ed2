"""Races, simulated in the background."""

"""Simulated meters on real lines: counterparts of the drivers, for the demo, `sim-meter` and the
tests. The daemon never imports this.
"""

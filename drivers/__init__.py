"""Meters on wires: bytes of real lines in, readings with units out.

This package never imports `gateway`; it can be used and tested alone.
"""

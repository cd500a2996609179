"""Gateway-years under virtual time: the unmodified gateway in a simulated world that goes wrong,
and laws that must hold all the same.
"""

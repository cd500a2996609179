"""The local status endpoint: what the gateway says of itself to people, monitors and load
balancers.
"""

"""Connections that drivers and deliveries both use: HTTP, MQTT and TLS, and the masking of secrets.

Nothing is imported here: whoever needs httpx or paho-mqtt imports the file that brings it.
"""

"""From samples to the exchange: buffer, counter, slots, assets, delivery, status."""

__version__ = "0.1.0"

"""The one asset of these tests."""

from uuid import UUID

ASSET = UUID("6f9d2c1e-7b1a-4a52-9d0e-3c5b8f6a1e20")

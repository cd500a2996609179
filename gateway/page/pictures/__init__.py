"""Pictures as inline SVG, without a script: pure functions from numbers to markup."""

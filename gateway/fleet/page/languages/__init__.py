"""What the manager's page says beside the words of a home's page: one file = one language."""

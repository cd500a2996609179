"""The manager's pages: one file each, with `render`, a pure function of answers and of who reads."""

"""The manager's pages: one file each, with `render`, pure: of answers, and of who reads."""

"""One file for each language, with all its words. The same keys, with the same facts, are in each."""

"""One file for each language, with all its words: in each the same keys, with the same facts."""

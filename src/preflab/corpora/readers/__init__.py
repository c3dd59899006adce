"""One reader of text sources a module; its name is a choice of `corpus.reader`."""

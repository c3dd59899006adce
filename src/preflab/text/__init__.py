"""Words, sentences, text files and measures of texts."""

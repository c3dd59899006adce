"""Files of human labels: their formats, one schema, what they hold."""

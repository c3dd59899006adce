"""The report: the paper's tables and figures with our numbers next to the paper's, and a verdict on each claim."""

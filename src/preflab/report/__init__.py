"""The report: the paper's tables and figures with our numbers beside its own, and a verdict on each claim."""

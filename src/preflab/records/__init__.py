"""Records of what ran: MLflow, run records, the results of a cell."""

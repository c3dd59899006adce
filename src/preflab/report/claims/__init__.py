"""The paper's claims: measures, evidence, verdicts."""

"""Sentiment classifiers that labellers and judges ask."""

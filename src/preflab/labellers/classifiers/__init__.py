"""Sentiment classifiers, by which labellers and judges score."""

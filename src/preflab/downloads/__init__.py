"""Wheels of a package index and files of a model hub, verified and kept."""

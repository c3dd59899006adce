"""Every setting as a typed field."""

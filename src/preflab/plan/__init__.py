"""What a build would run, why, and how long it will take."""

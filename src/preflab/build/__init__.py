"""Running the stages that DVC finds stale: the schedule, DVC's state, its fork."""

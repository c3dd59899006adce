"""Running the stages that DVC finds stale: the schedule, DVC's files and cache, the forked DVC."""

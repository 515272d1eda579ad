"""What a user reads of a run: the report, the dataset card and exports of the manifest."""

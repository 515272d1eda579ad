"""What a person sees of a run: the report, the dataset card, exports."""

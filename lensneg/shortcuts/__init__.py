"""The shortcut audit: what tells positives from negatives, besides what makes a lens."""

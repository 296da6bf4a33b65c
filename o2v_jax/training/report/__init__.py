"""What a run reports: metric lines, history, curves and the report folder."""

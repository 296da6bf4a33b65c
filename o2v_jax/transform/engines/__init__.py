"""Where batch transform scores: in this process, at endpoints, or in Ray workers."""

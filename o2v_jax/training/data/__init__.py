"""Training data: channels decoded into columns, cached, checked and batched; word vectors."""

"""What `docs/generate.py` puts together: one file for each kind of generated text."""

"""Loaders: where they come from, how several become one, how batches are fetched and moved."""

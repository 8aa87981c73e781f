"""The copier template of a plugin's distribution. It is read by its folder; there is nothing to import."""

__all__: list[str] = []

"""Grammars, plans and formats: no kernel, no root, no network."""

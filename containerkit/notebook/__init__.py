"""Widgets. Uses public names only: what a button does, a line of Python does too.

Every widget's state and buttons work without a browser: ``card.stop_button.click()`` stops the container, and
``card.status`` says so.
"""

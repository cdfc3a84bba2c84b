"""Widgets in JupyterLab, in headless Chromium (lab.py); screenshots.py makes the pictures of the notebooks."""

"""How values look: text, HTML, pandas frames, plots.

Pure functions of plain values, at the bottom of the tree: whatever a person can see is free to call them. Everything
that goes into HTML is escaped here, and nothing in it depends on when it is drawn: a notebook's stored output compares
equal to the next.
"""

"""How values look: text, HTML, pandas frames, plots.

Pure functions of plain values, at the bottom of the tree: whatever a person can see is free to call them. Everything
that goes into HTML is escaped here, and nothing in it depends on when it is drawn: a notebook's stored output compares
equal to the next.

=============================  ==============================================================
``shown``                      what a notebook shows of an object, and the line of text beside it
``text`` ``html`` ``frames``   values as plain text, as HTML, as pandas frames
``plots`` ``timeline``         charts: matplotlib's, and SVG below one another on one axis of time
``network`` ``steps``          networks as a picture; the steps of a start
``xray``                       what a container is to the kernel
=============================  ==============================================================
"""

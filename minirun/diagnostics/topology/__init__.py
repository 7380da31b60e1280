"""minirun map: what is wired to what. Read from the kernel, and held against the records: what one says and the other
does not is a trouble, and shown.

wires.py    the map as plain data
reading.py  from the kernel and the records to the map
tree.py     as text: a tree, or a table
drawing.py  as a picture (SVG)
graphs.py   for Graphviz and Mermaid
"""

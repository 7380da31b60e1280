"""Show how networks are connected. The topology is read from the kernel and compared with the records: a difference is
a problem, and is shown.

data.py    the topology as plain data
survey.py  reads it from the kernel and the records
tree.py    as text: a tree or a table
svg.py     as a picture; nodes.py is what it shows beside the bridges, canvas.py its shapes
graphs.py  for Graphviz and Mermaid
"""

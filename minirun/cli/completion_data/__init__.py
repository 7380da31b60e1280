"""What a shell offers at a Tab. The shells' own parts are the files beside this; they ask `minirun __complete WORDS`.

Everything here is quick and changes nothing: no state root is made, nothing mended, and whatever fails offers nothing.
"""

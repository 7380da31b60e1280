"""minirun trace: one real packet is sent, seen at every interface that it passes, and followed through every rule.

stranger.py  another machine on this host's wire, for as long as it takes: whoever comes from outside
places.py    what the words of the command mean: from where, to what
walking.py   send, look, and write down
reasons.py   from what was seen to one sentence: it arrived, or where and why it did not, and what would allow it
telling.py   the story as text and as JSON
"""

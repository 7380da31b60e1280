"""What the standard library does as well, and better, but not for what a start may cost.

Each module here takes the place of one whose import is paid by every command (measured on Python 3.11, above the 6 ms
of an interpreter that does nothing; a class costs what making it costs):

    records.py    dataclasses    6.4 ms, and 0.2 to 0.5 a class    frozen records, with types checked as theirs are

It has the names and the meaning of what it stands for, in as far as minirun uses it: checkers see the original, and
tests/test_light.py holds both to the same answers. What no start needs is imported from the standard library.
"""

"""What the standard library does as well, and better, but not for what a start may cost.

Each module here has the name of the one that it stands for, and of that the names, with their meaning, that minirun
uses. Checkers see the original; tests/test_light.py holds both to the same answers; tests/test_cost.py sees that no
start brings the original in by another way. What it costs to import one alone (milliseconds, Python 3.11; they share
much of it, and an interpreter that does nothing takes 6):

    dataclasses   10.7    and 0.3 for each class that it compiles methods for
    pathlib        7.3    patterns, URLs, other systems' paths
    typing         7.1    a hundred classes that nothing needs at run time
    json           5.4    most of it are the regular expressions for text from elsewhere
    socket         5.0    enumerations of 300 constants, and selectors
    re             4.3    and the compiling, of patterns that are seldom used
    sqlite3        3.6    a third of it are conversions of dates
    signal         3.2    three enumerations
    enum           3.0

Together they were 20 of the 47 ms of `exec`. Who needs more of one than there is here adds it here if a start needs it,
and imports the original where none does.
"""

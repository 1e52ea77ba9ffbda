"""What types cannot say: unknown targets, dead ends, two writers without a reducer.

One module per subject; each takes a `Draft` and notes what it finds.
"""

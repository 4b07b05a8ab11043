"""The stages of a cycle: each reads records, calls one room and writes its artefact, whole or not at all.

A stage that has written its artefact does nothing when it is run again, so a cycle that was killed goes on where it
was.
"""

"""The stages of a cycle, one per module: each reads, calls one room and writes its artefact, whole or not at all.

A stage that has written its artefact does nothing when it is run again, so that a cycle that was killed goes on where
it was. No stage imports another; their order is in `pipeline.loop`.
"""

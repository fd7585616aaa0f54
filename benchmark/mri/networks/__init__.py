"""Reconstruction networks, called as ``network(y, physics) -> image`` (deepinv's convention).

None of them scales its input: images are taken to have a largest magnitude of about 1, as the datasets here have, and
k-space follows from that by a unitary FFT. Scale measured data so before, and the image back after.
"""

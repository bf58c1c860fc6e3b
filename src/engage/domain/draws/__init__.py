"""Prize draws that anyone can check: who may enter, the frozen list and its root, the beacon's rounds, the
winners that follow from both, and the certificate.

Imports fairness, definitions and what is below them; no other feature.
"""

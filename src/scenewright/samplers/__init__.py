"""Sampling a flow: time schedule, guidance and the Euler loop, as small parts that compose."""

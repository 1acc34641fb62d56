"""Generate, score, report and compare whole folders of scenes under a named protocol."""

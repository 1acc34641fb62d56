"""The single-object generators that systems build on; they take condition tokens and know no encoder."""

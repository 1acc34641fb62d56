"""Programs of the project that the library does not need."""

"""One tiny file per feature of the formats that people's tools write, made by script; every reader meets each."""

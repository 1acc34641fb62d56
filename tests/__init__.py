"""Tests mirror the package. The type checker is imported here because the import hook looks it up by attribute."""

from tests import type_checker as type_checker

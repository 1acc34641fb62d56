"""Network layers shared by every backbone and system."""

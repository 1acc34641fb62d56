"""Where published weights live and how they are fetched, verified and loaded strictly."""

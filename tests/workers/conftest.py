"""Ray reads the token of a cluster from the environment when it is imported, so that is set before any test."""

import tests.ray_cluster  # noqa: F401

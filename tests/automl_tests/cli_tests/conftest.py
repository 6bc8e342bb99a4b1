"""One small trained study for the tests of commands that predict."""

from tests.automl_tests.ensemble_tests.conftest import study  # noqa: F401

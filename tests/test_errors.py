import pytest

from keras_unet.errors import BadData, BadUsage


@pytest.mark.parametrize(("error", "status"), [(BadUsage, 2), (BadData, 1)])
def test_an_error_that_a_user_can_cause_is_a_value_error_with_a_status(error, status):
    assert issubclass(error, ValueError)
    assert error("why").status == status

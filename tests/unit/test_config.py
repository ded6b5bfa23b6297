"""Settings that cannot work end the process with a sentence."""

import pytest

from app.core.config import load
from app.core.errors import Invalid


def test_a_root_for_files_is_a_whole_path():
    assert load({"IMEI_GATEWAY_FILES_ROOT": "/srv/partners"}).files_root == "/srv/partners"
    assert load({}).files_root == ""
    for relative in ("partners", "./partners", "~/partners"):
        with pytest.raises(Invalid, match=r"IMEI_GATEWAY_FILES_ROOT is '.*'; it would be a path from the /"):
            load({"IMEI_GATEWAY_FILES_ROOT": relative})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BY", "x" * 101),
        ("BY", "Retailer\nSA"),
        ("COUNTRY", "France\0"),
        ("FRAUD_CODES", "1234"),
        ("FRAUD_CODES", "1234,12345"),
        ("FRAUD_CODES", "1234, 1235"),
        ("FRAUD_CODES", "１２３４,1235"),
    ],
)
def test_what_device_check_cannot_say_is_refused(name, value):
    variable = f"IMEI_GATEWAY_DEVICE_CHECK_{name}"
    with pytest.raises(Invalid, match=variable):
        load({variable: value})
    assert (
        load({"IMEI_GATEWAY_DEVICE_CHECK_FRAUD_CODES": "1234,1235"}).device_check_fraud_codes == "1234,1235"
    )

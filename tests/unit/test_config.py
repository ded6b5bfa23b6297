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

"""Lists of SHA-256 checksums: their text, and the places that they come from."""

from pathlib import Path

import pytest
from surveyserver import A, B, serving, three_sweeps

from lensneg.errors import InputError
from lensneg.survey.checksums import ChecksumList
from lensneg.survey.releases import CHECKSUM_FILE
from lensneg.survey.server import read_checksums


def test_checksum_lists() -> None:
    digest = "AB" * 32
    text = f"{digest}  ./10.1/{A}\n\n{'0' * 64} *{B}\n"
    assert ChecksumList.parse(text, "list").sha256 == {A: "ab" * 32, B: "0" * 64}
    with pytest.raises(InputError, match="list: line 1: got '<html>'"):
        ChecksumList.parse("<html>", "list")
    with pytest.raises(InputError, match="another checksum"):
        ChecksumList.parse(f"{digest}  x\n{'0' * 64}  x", "list")


def test_a_list_is_read_from_a_file_and_from_a_server(tmp_path: Path) -> None:
    text = three_sweeps()[CHECKSUM_FILE].decode()
    (tmp_path / "sums.txt").write_text(text)
    from_file = read_checksums(str(tmp_path / "sums.txt"))
    assert (from_file.name, from_file.text) == ("sums.txt.sha256sum", text)
    with serving(three_sweeps()) as survey:
        from_server = read_checksums(survey.url + CHECKSUM_FILE)
        assert (from_server.name, from_server.sha256) == (CHECKSUM_FILE, from_file.sha256)
        with pytest.raises(InputError, match=r"nothing\.sha256sum: the server answers 404"):
            read_checksums(survey.url + "nothing.sha256sum")
    with pytest.raises(InputError, match=r"--checksums .*nowhere: no such file"):
        read_checksums(str(tmp_path / "nowhere"))

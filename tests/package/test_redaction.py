import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.redaction import redacted


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://ann:secret@cam.local:554/stream1", "rtsp://***@cam.local:554/stream1"),
        ("rtsp://token@cam.local/stream1", "rtsp://***@cam.local/stream1"),
        ("rtsp://ann:p@ss@cam.local/stream1", "rtsp://***@cam.local/stream1"),
        ("http://cam/video?user=ann&pwd=secret", "http://cam/video?user=***&pwd=***"),
        ("http://cam/video?secret", "http://cam/video?***"),
        ("http://cam/video#secret", "http://cam/video#***"),
        ("http://[::1]:9000/act", "http://[::1]:9000/act"),
        ("http://ann:secret@[::1/act", "http://***"),
        ("udp://127.0.0.1:9000", "udp://127.0.0.1:9000"),
        ("/dev/video0", "/dev/video0"),
        ("0", "0"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_what_gives_access(address, shown):
    assert redacted(address) == shown


@given(st.text(alphabet=st.characters(exclude_characters="/?#[]\\", codec="ascii"), min_size=1))
def test_no_password_is_ever_shown(password):
    assert redacted(f"rtsp://ann:QQ{password}QQ@cam/one") == "rtsp://***@cam/one"

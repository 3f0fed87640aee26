import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.redaction import redacted, without_secrets


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("rtsp://admin:s3cret@cam/live", "rtsp://***@cam/live"),
        ("rtsp://token@cam:554/1", "rtsp://***@cam:554/1"),
        ("rtsp://admin:p@ss/w@rd@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:who?what@cam/live", "rtsp://***@cam/live"),
        ("http://cam/video?user=admin&pwd=s3cret&channel=2", "http://cam/video?user=***&pwd=***&channel=2"),
        ("http://cam/video?s3cret", "http://cam/video?***"),
        ("http://cam/video#s3cret", "http://cam/video"),
        ("http://cam/video", "http://cam/video"),
        ("udp://127.0.0.1:9000?fifo_size=100", "udp://127.0.0.1:9000?fifo_size=100"),
        ("http://[::1", "http://[::1"),
        ("/dev/video0", "/dev/video0"),
        ("go to the red ball?", "go to the red ball?"),
    ],
)
def test_an_address_is_printed_without_what_opens_it(url, printed):
    assert redacted(url) == printed


SECRETS = st.from_regex(r"[A-Za-z0-9!$@:/%?&=+ü-]*Zq7[A-Za-z0-9!$:%-]*", fullmatch=True)


@given(user=SECRETS, password=SECRETS)
def test_no_user_and_no_password_is_printed_whatever_is_in_it(user, password):
    assert "Zq7" not in redacted(f"rtsp://{user}:{password}@camera.local:554/live/main?channel=1")


@given(
    key=st.from_regex(r"[a-z_]{1,10}zz", fullmatch=True), value=st.from_regex(r"[A-Za-z0-9%+/=]*Zq7", fullmatch=True)
)
def test_no_value_of_an_unknown_key_is_printed(key, value):
    assert "Zq7" not in redacted(f"http://cam/video?channel=2&{key}={value}")


@pytest.mark.parametrize(
    "message",
    [
        "cannot open {url}",
        "401 for admin with s3cret%21",
        "401 for admin with s3cret!",
        "Authorization failed: rtsp://admin:s3cret%21@cam/other",
        "no token abc123 known",
    ],
)
def test_what_a_library_says_of_an_address_is_told_without_its_secrets(message):
    url = "rtsp://admin:s3cret%21@cam/live?token=abc123"
    told = without_secrets(message.format(url=url), url)
    assert not any(secret in told for secret in ("admin", "s3cret", "abc123"))
    assert "***" in told


def test_a_message_about_a_file_is_left_as_it_is():
    assert without_secrets("clip.mp4: no such file", "clip.mp4") == "clip.mp4: no such file"

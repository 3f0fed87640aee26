"""A PulseAudio server of a test's own: a loudspeaker that nobody hears, and a microphone that hears it."""

import os
import shutil
import subprocess
import time
from pathlib import Path

PROGRAMS = ("pulseaudio", "paplay", "pactl")
SYSTEM = "/usr/share/alsa/alsa.conf"
STARTS_S = 10.0


def missing() -> str:
    """What it takes and is not here; empty where all of it is."""
    programs = [program for program in PROGRAMS if not shutil.which(program)]
    if programs or not os.path.exists(SYSTEM):
        return f"{', '.join(programs) or SYSTEM} is not installed"
    return ""


class SoundServer:
    """Started, killed and started again; programs that get `env` have its microphone as their default one."""

    def __init__(self, folder: Path):
        self._socket = folder / "socket"
        config = folder / "alsa.conf"
        config.write_text(f"<{SYSTEM}>\npcm.!default {{ type pulse }}\nctl.!default {{ type pulse }}\n")
        self.env = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_SERVER": f"unix:{self._socket}",
            "ALSA_CONFIG_PATH": str(config),
        }
        self._process: subprocess.Popen | None = None
        self._playing: list[subprocess.Popen] = []

    def start(self) -> bool:
        """Whether it has started."""
        words = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        words += ["-L", f"module-native-protocol-unix auth-anonymous=1 socket={self._socket}"]
        words += ["-L", "module-null-sink sink_name=nobody rate=48000 channels=2 format=float32le"]
        self._process = subprocess.Popen(words, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until_s = time.monotonic() + STARTS_S
        while time.monotonic() < until_s:
            asked = subprocess.run(
                ["pactl", "list", "short", "sources"], env=self.env, capture_output=True, check=False
            )
            if b"nobody.monitor" in asked.stdout:
                return True
            time.sleep(0.05)
        self.kill()
        return False

    def play(self, path: Path) -> subprocess.Popen:
        """Begin to play a file."""
        self._playing.append(subprocess.Popen(["paplay", str(path)], env=self.env, stderr=subprocess.DEVNULL))
        return self._playing[-1]

    def kill(self) -> None:
        """As if it were unplugged."""
        for process in (*self._playing, self._process):
            if process is not None:
                process.kill()
                process.wait()
        self._playing = []

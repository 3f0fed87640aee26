"""The same results from actors of Ray, on a Ray that runs here."""

import os
import socket
import threading

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from sensorimotor.errors import ClusterError, SensorimotorError, UsageError
from sensorimotor.pipelines import batch_ray
from sensorimotor.pipelines.batch_ray import require_ray
from sensorimotor.pipelines.batch_store import Shard
from sensorimotor.pipelines.batch_tally import BatchTally


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Nine recordings, of which one is torn."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(10):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (56, 56, 3), np.uint8))
    (folder / "torn.png").write_bytes(b"torn")
    lines = ["episode,time,camera,instruction"]
    for episode in range(9):
        cameras = [f"{rng.integers(10)}.png" for _ in range(rng.integers(2, 12))]
        lines += [f"e{episode},{step / 10},{camera},go" for step, camera in enumerate(cameras)]
    lines.append("e4,9.0,torn.png,go")
    path = folder / "lived.csv"
    path.write_text("\n".join(lines))
    return path


def files(out):
    return {file.name: file.read_bytes() for file in sorted(out.glob("part-*.parquet"))}


@pytest.mark.timeout(300)
def test_two_actors_give_what_the_local_engine_gives_and_each_goes_on_where_the_other_was(
    sensorimotor, table, tmp_path
):
    pytest.importorskip("ray")
    local, there = tmp_path / "local", tmp_path / "ray"
    same = ("batch", "default", table, "--shard-size", 2, "--embeddings", "--json")
    for out, options in ((local, ("--workers", 0)), (there, ("--engine", "ray", "--workers", 2))):
        done = sensorimotor(*same, "--out", out, *options)
        assert done.returncode == 0, done.stderr
    assert files(there) == files(local) != {}
    aside = [pq.read_table(out / "quarantine.parquet").to_pylist() for out in (local, there)]
    assert aside[0] == aside[1]
    assert [one["id"] for one in aside[0]] == ["e4"]
    (there / "part-00003.parquet").unlink()
    done = sensorimotor(*same, "--out", there, "--resume", "--workers", 0)
    assert done.returncode == 0, done.stderr
    assert files(there) == files(local)


@pytest.mark.timeout(300)
def test_a_directory_of_media_is_decided_in_there_as_here(sensorimotor, table, tmp_path):
    pytest.importorskip("ray")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for picture in table.parent.glob("*.png"):
        (pictures / picture.name).write_bytes(picture.read_bytes())
    same = ("batch", "default", pictures, "--set", "instruction=go", "--shard-size", 4)
    for name, options in (("local", ("--workers", 0)), ("ray", ("--engine", "ray", "--workers", 2))):
        done = sensorimotor(*same, "--out", tmp_path / name, *options)
        assert done.returncode == 0, done.stderr
    assert files(tmp_path / "ray") == files(tmp_path / "local") != {}


def test_an_address_where_nobody_is_is_told_at_once_and_nothing_is_removed_for_it(sensorimotor, table, tmp_path):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    call = ("batch", "default", table, "--out", tmp_path, "--workers", 0)
    assert sensorimotor(*call).returncode == 0
    before = files(tmp_path)
    done = sensorimotor(*call, "--engine", "ray", "--ray", address, "--overwrite", timeout=60)
    assert done.returncode == 1
    assert f"no Ray cluster answers at {address}" in done.stderr
    assert "Traceback" not in done.stderr
    assert files(tmp_path) == before


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid", "127.0.0.1:port"])
def test_addresses_are_checked_before_ray_tries_for_minutes(address):
    pytest.importorskip("ray")
    with pytest.raises(ClusterError, match="no Ray cluster answers"):
        require_ray(address)


def test_an_address_of_rays_client_is_refused_and_no_address_is_this_machine():
    pytest.importorskip("ray")
    require_ray(None)
    with pytest.raises(UsageError, match=r"ray://\*\*\*@127\.0\.0\.1:10001 .* HOST:PORT of the head"):
        require_ray("ray://user:secret@127.0.0.1:10001")


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_who_listens_at_an_address_but_is_no_ray_is_told_in_time(monkeypatch, says):
    pytest.importorskip("ray")
    monkeypatch.setattr(batch_ray, "REACH_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.sendall(says)
            done.wait()
            connection.close()

        done = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ClusterError, match="no Ray cluster answers"):
            require_ray(f"127.0.0.1:{server.getsockname()[1]}")
        done.set()
        thread.join()


def test_without_ray_a_person_is_told_how_to_get_it(sensorimotor, table, tmp_path, person):
    away = tmp_path / "code" / "ray"
    away.mkdir(parents=True)
    (away / "__init__.py").write_text("raise ImportError('no ray')")
    path = os.pathsep.join([str(away.parent), os.environ.get("PYTHONPATH", "")])
    done = sensorimotor(
        "batch", "default", table, "--out", tmp_path / "out", "--engine", "ray", env=person | {"PYTHONPATH": path}
    )
    assert done.returncode == 1
    assert "pip install 'sensorimotor[ray]'" in done.stderr


# What comes from actors


def message(shard, **content):
    return {"shard": shard, "rows": b"", "tally": "", "trouble": "", **content}


def decided(messages):
    shards = [Shard(0, 0, 2), Shard(1, 2, 4)]
    return [
        (one.shard, list(one.rows), one.tally()) for one in batch_ray._decided(shards, iter(messages), lambda _: None)
    ]


def test_shards_come_one_after_the_other():
    tally = '{"rows": 1, "held": 0, "absent": {}, "losses": {}, "seconds": {}, "quarantine": []}'
    found = decided([message(0, tally=tally), message(1, tally=tally)])
    assert [(shard.number, rows, one) for shard, rows, one in found] == [
        (0, [], BatchTally(rows=1)),
        (1, [], BatchTally(rows=1)),
    ]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([message(0, trouble="the bundle is gone")], "the bundle is gone"),
        ([message(1)], "shard 1 in place of 0"),
        ([], "no end of shard 0"),
    ],
)
def test_what_is_wrong_there_is_told_here(messages, words):
    with pytest.raises(SensorimotorError, match=words):
        decided(messages)


def test_who_waits_for_ray_can_be_called_away():
    never, calls = threading.Event(), []

    def silent():
        never.wait()
        yield {}

    def pulse():
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(batch_ray._watched(silent(), pulse))
    never.set()


def test_an_error_of_ray_is_raised_where_its_messages_are_waited_for():
    def broken():
        yield message(0)
        raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        list(batch_ray._watched(broken(), lambda: None))

